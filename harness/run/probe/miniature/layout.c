/* What every loadable module refers to where symbols have versions. */
#include <linux/export.h>

void module_layout(void);

void module_layout(void)
{
}
EXPORT_SYMBOL(module_layout);
