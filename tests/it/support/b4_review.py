"""Runs the check commands of a checkout as `b4 review` does, over the messages of an mbox.

Arguments: the mbox. Prints, in JSON, the results for each patch and those for the series.
"""

import argparse
import email
import email.policy
import json
import mailbox
import sys

import b4
from b4.review import checks

messages = [
    email.message_from_bytes(message.as_bytes(), policy=email.policy.default)
    for message in mailbox.mbox(sys.argv[1])
]
named = [(message["Message-ID"], message) for message in messages]
cover, patches = named[0], named[1:]
b4.setup_config(argparse.Namespace(config=[]))
of_patch, of_series = checks.load_check_cmds()
top = b4.git_get_toplevel()
by_patch = checks.run_perpatch_checks(patches, of_patch, top)
results = [by_patch[name] for name, _ in patches]
print(json.dumps({"patches": results, "series": checks.run_series_checks(cover, of_series, top)}))
