//! Reads Rust sources for the rules about layers: which paths, methods and macros a
//! file's own code names, and which of its matches have a catch-all arm. Code under
//! `#[cfg(test)]` does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};

/// A source file and what its code names.
#[derive(Debug, Default)]
pub struct Source {
    /// From the folder of the crate: `check/crc.rs`.
    pub file: String,
    pub text: String,
    /// Every path of two or more parts, beginning with the crate it leads to:
    /// `std::fs::read`, `crate::facts::Facts`.
    pub paths: BTreeSet<String>,
    /// Every method that is called.
    pub methods: BTreeSet<String>,
    /// Every macro that is called.
    pub macros: BTreeSet<String>,
    /// Every string literal, also in macros, without documentation.
    pub strings: Vec<String>,
    /// The matches with a catch-all arm: the types their patterns name.
    pub catch_alls: Vec<BTreeSet<String>>,
    /// The files of its modules that are only for tests.
    test_files: Vec<String>,
}

impl Source {
    /// Reads the text of `file`.
    pub fn parse(file: &str, text: &str) -> Self {
        let syntax = syn::parse_file(text).unwrap_or_else(|e| panic!("{file}: {e}"));
        let mut reader = Reader {
            source: Self {
                file: file.to_owned(),
                text: text.to_owned(),
                ..Self::default()
            },
            module: module(file),
            aliases: BTreeMap::new(),
            implemented: None,
            found: Vec::new(),
        };
        reader.visit_file(&syntax);
        for path in std::mem::take(&mut reader.found) {
            let path = reader.resolve(path);
            if path.len() > 1 {
                reader.source.paths.insert(path.join("::"));
            }
        }
        reader.source
    }

    /// The module right below the crate that the file belongs to.
    pub fn layer(&self) -> String {
        module(&self.file).first().cloned().unwrap_or_default()
    }

    /// Whether the file belongs to a module, such as `judge::check`, or to one below it.
    pub fn is_in(&self, of: &str) -> bool {
        let own = module(&self.file).join("::");
        own.strip_prefix(of)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }

    /// Whether the code names `item`, or anything below it.
    pub fn names(&self, item: &str) -> bool {
        self.paths.iter().any(|path| {
            let below = |whole: &str, part: &str| {
                whole
                    .strip_prefix(part)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            };
            below(path, item) || path.strip_suffix("::*").is_some_and(|all| below(item, all))
        })
    }
}

/// Every source below `folder` that is not only for tests.
pub fn read_all(folder: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    for file in rust_files(folder) {
        let text = std::fs::read_to_string(folder.join(&file)).unwrap();
        sources.push(Source::parse(&file, &text));
    }
    let tests: Vec<String> = sources.iter().flat_map(|s| s.test_files.clone()).collect();
    let is_test = |file: &str| {
        tests.iter().any(|test| {
            file.strip_prefix(test.trim_end_matches(".rs"))
                .is_some_and(|rest| rest.starts_with(['.', '/']))
        })
    };
    sources.retain(|source| !is_test(&source.file));
    sources
}

/// The Rust files below `folder`, sorted.
pub fn rust_files(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(below) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&below)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{below}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                folders.push(format!("{name}/"));
            } else if name.ends_with(".rs") {
                files.push(name);
            }
        }
    }
    files.sort();
    files
}

/// `check/crc.rs` is the module `check::crc`; `lib.rs` and `main.rs` are none.
fn module(file: &str) -> Vec<String> {
    match file.trim_end_matches(".rs") {
        "lib" | "main" => Vec::new(),
        path => path.split('/').map(str::to_owned).collect(),
    }
}

struct Reader {
    source: Source,
    /// The module that is being read, without `crate`.
    module: Vec<String>,
    /// The names that `use` introduces.
    aliases: BTreeMap<String, Vec<String>>,
    /// The type whose `impl` is being read.
    implemented: Option<String>,
    /// Paths as they are written, except for `self` and `super`.
    found: Vec<Vec<String>>,
}

impl Reader {
    /// Makes `self` and `super` absolute, as they must be seen from this module.
    fn absolute(&self, path: Vec<String>) -> Vec<String> {
        let up = path.iter().take_while(|part| *part == "super").count();
        let is_self = path.first().is_some_and(|part| part == "self");
        if up == 0 && !is_self {
            return path;
        }
        let depth = self.module.len().saturating_sub(up);
        let rest = path.into_iter().skip(up.max(usize::from(is_self)));
        let own = self.module[..depth].iter().cloned();
        std::iter::once("crate".to_owned())
            .chain(own)
            .chain(rest)
            .collect()
    }

    /// Replaces a first part that `use` has given its meaning.
    fn resolve(&self, path: Vec<String>) -> Vec<String> {
        match self.aliases.get(&path[0]) {
            Some(meaning) if *meaning != path => {
                meaning.iter().chain(&path[1..]).cloned().collect()
            }
            _ => path,
        }
    }

    fn take(&mut self, path: Vec<String>) {
        let path = self.absolute(path);
        self.found.push(path);
    }

    fn take_use(&mut self, tree: &syn::UseTree, mut path: Vec<String>) {
        match tree {
            syn::UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.take_use(&part.tree, path);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.take_use(tree, path.clone());
                }
            }
            syn::UseTree::Glob(_) => {
                path.push("*".to_owned());
                self.take(path);
            }
            syn::UseTree::Name(name) => self.take_named(path, &name.ident, &name.ident),
            syn::UseTree::Rename(named) => self.take_named(path, &named.ident, &named.rename),
        }
    }

    fn take_named(&mut self, mut path: Vec<String>, name: &syn::Ident, alias: &syn::Ident) {
        let mut alias = alias.to_string();
        if name == "self" {
            if alias == "self" {
                alias = path.last().cloned().unwrap_or_default();
            }
        } else {
            path.push(name.to_string());
        }
        let path = self.absolute(path);
        self.aliases.insert(alias, path.clone());
        self.found.push(path);
    }

    /// The paths in a macro's arguments, which are tokens and nothing more.
    fn take_tokens(&mut self, mut cursor: Cursor) {
        let mut path: Vec<String> = Vec::new();
        while !cursor.eof() {
            if let Some((ident, rest)) = cursor.ident() {
                path.push(ident.to_string());
                match colons(rest) {
                    Some(after) => cursor = after,
                    None => {
                        self.take(std::mem::take(&mut path));
                        cursor = rest;
                    }
                }
                continue;
            }
            if !path.is_empty() {
                self.take(std::mem::take(&mut path));
            }
            if let Some((literal, _)) = cursor.literal()
                && let syn::Lit::Str(text) = syn::Lit::new(literal)
            {
                self.source.strings.push(text.value());
            }
            if let Some((inside, _, _, rest)) = cursor.any_group() {
                self.take_tokens(inside);
                cursor = rest;
            } else if let Some((_, rest)) = cursor.token_tree() {
                cursor = rest;
            }
        }
        if !path.is_empty() {
            self.take(path);
        }
    }

    /// The types whose variants a pattern names: of `LtoMode::Thin`, `LtoMode`.
    fn types_named(&self, pattern: &syn::Pat) -> BTreeSet<String> {
        struct Types(Vec<String>);
        impl<'ast> Visit<'ast> for Types {
            fn visit_path(&mut self, path: &'ast syn::Path) {
                if let Some(at) = path.segments.len().checked_sub(2) {
                    self.0.push(path.segments[at].ident.to_string());
                }
            }

            fn visit_pat_guard(&mut self, guarded: &'ast syn::PatGuard) {
                self.visit_pat(&guarded.pat);
            }
        }
        let mut types = Types(Vec::new());
        types.visit_pat(pattern);
        let meant = |name: String| match (&self.implemented, name.as_str()) {
            (Some(own), "Self") => own.clone(),
            _ => name,
        };
        types.0.into_iter().map(meant).collect()
    }
}

/// What follows `::`.
fn colons(cursor: Cursor) -> Option<Cursor> {
    let (first, rest) = cursor.punct()?;
    let (second, rest) = rest.punct()?;
    (first.as_char() == ':' && second.as_char() == ':').then_some(rest)
}

/// Whether a pattern takes whatever comes; one with a guard does not.
fn is_catch_all(pattern: &syn::Pat) -> bool {
    match pattern {
        syn::Pat::Wild(_) | syn::Pat::Rest(_) => true,
        syn::Pat::Ident(name) => {
            let first = name.ident.to_string().chars().next();
            name.subpat.is_none() && first.is_some_and(char::is_lowercase)
        }
        syn::Pat::Tuple(tuple) => tuple.elems.iter().all(is_catch_all),
        syn::Pat::Or(or) => or.cases.iter().any(is_catch_all),
        syn::Pat::Paren(inner) => is_catch_all(&inner.pat),
        syn::Pat::Reference(inner) => is_catch_all(&inner.pat),
        _ => false,
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute
                    .parse_args::<syn::Ident>()
                    .is_ok_and(|what| what == "test")
    })
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        } else if let syn::Item::Mod(syn::ItemMod {
            content: None,
            ident,
            ..
        }) = item
        {
            let parts = self.module.iter().cloned().chain([format!("{ident}.rs")]);
            let file = parts.collect::<Vec<_>>().join("/");
            self.source.test_files.push(file);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        let outer = self.implemented.take();
        if let syn::Type::Path(own) = &*block.self_ty {
            self.implemented = own.path.segments.last().map(|s| s.ident.to_string());
        }
        visit::visit_item_impl(self, block);
        self.implemented = outer;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.take_use(&item.tree, Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.take(path.segments.iter().map(|s| s.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        let name = called.path.segments.last();
        self.source.macros.extend(name.map(|s| s.ident.to_string()));
        let tokens = TokenBuffer::new2(called.tokens.clone());
        self.take_tokens(tokens.begin());
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.source.strings.push(text.value());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.take_tokens(TokenBuffer::new2(list.tokens.clone()).begin());
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.source.methods.insert(call.method.to_string());
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_match(&mut self, block: &'ast syn::ExprMatch) {
        if block.arms.iter().any(|arm| is_catch_all(&arm.pat)) {
            let types = block.arms.iter().flat_map(|arm| self.types_named(&arm.pat));
            let types = types.collect();
            self.source.catch_alls.push(types);
        }
        visit::visit_expr_match(self, block);
    }
}
