//! Which column is which field: by what the mapping says, by the obvious names, by the types that RecBole writes behind
//! a name. What remains is an attribute or is ignored.

use super::mapping::{Field, FieldType, Rest};
use crate::error::{Error, Result};
use crate::record::Value;

/// What a reader knows of the columns.
pub(super) struct Columns<'a> {
    /// Their names.
    pub names: &'a [String],
    /// Whether more may come (JSON Lines): then a missing column is a matter of the row, and a field may be found under
    /// several names.
    pub growing: bool,
    /// The type that the first values of an attribute's column have, where the format has no types of its own.
    pub infer: &'a dyn Fn(usize) -> Option<FieldType>,
}

/// Where one field is read from: the first of the columns that has a value, or else the constant.
#[derive(Default)]
pub(super) struct Slot {
    pub name: String,
    pub columns: Vec<usize>,
    pub constant: Option<Value>,
    pub kind: Option<FieldType>,
    pub separator: Option<String>,
    pub null: Vec<String>,
}

/// Where attributes are read from.
#[derive(Default)]
pub(super) struct Bag {
    /// Each attribute by its name.
    pub named: Vec<Slot>,
    /// Columns that hold objects of attributes.
    pub spread: Vec<usize>,
}

/// Finds columns by name and remembers which are claimed.
pub(super) struct Resolver<'c> {
    columns: &'c Columns<'c>,
    section: &'static str,
    claimed: Vec<bool>,
}

impl<'c> Resolver<'c> {
    /// Nothing is claimed yet; `section` is the part of the mapping that errors name.
    pub fn new(columns: &'c Columns<'c>, section: &'static str) -> Self {
        Self { columns, section, claimed: vec![false; columns.names.len()] }
    }

    /// The slots of the record's own fields: first those that the mapping names (the columns of `mapped` are spoken for,
    /// too), then the obvious names.
    pub fn fields<'m, const N: usize>(
        &mut self,
        fields: [(&'static str, &Option<Field>, &[&str]); N],
        mapped: impl IntoIterator<Item = (&'m String, &'m Field)>,
    ) -> Result<[Slot; N]> {
        for (_, field) in mapped {
            if let Some(column) = field.column().and_then(|name| self.find(name)) {
                self.claim(column);
            }
        }
        let mut slots: [Slot; N] = std::array::from_fn(|_| Slot::default());
        for (slot, (name, field, _)) in slots.iter_mut().zip(&fields) {
            *slot = match field {
                Some(field) => self.mapped(name, "", field)?,
                None => Slot { name: (*name).to_owned(), ..Slot::default() },
            };
        }
        for (slot, (_, field, names)) in slots.iter_mut().zip(&fields) {
            if field.is_none() {
                slot.columns = self.named(names);
                let suffix = slot.columns.first().and_then(|column| self.suffix(*column));
                slot.separator = suffix.and_then(suffix_separator);
            }
        }
        Ok(slots)
    }

    /// The slot of a field that the mapping names.
    pub fn mapped(&mut self, name: &str, group: &str, field: &Field) -> Result<Slot> {
        let spec = field.spec();
        let column = spec.column.as_deref().map(|column| (column, self.find(column)));
        let path = [self.section, group, name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        let mut slot = Slot {
            name: name.to_owned(),
            columns: Vec::new(),
            constant: spec.constant,
            kind: spec.kind,
            separator: spec.separator,
            null: spec.null,
        };
        match column {
            Some((_, Some(column))) => {
                self.claim(column);
                slot.columns.push(column);
                let suffix = self.suffix(column);
                slot.kind = slot.kind.or_else(|| suffix.map(suffix_type));
                slot.separator = slot.separator.or_else(|| suffix.and_then(suffix_separator));
            }
            Some((missing, None)) if !self.columns.growing => {
                let reason = format!("there is no column \"{missing}\"; {}", self.list());
                return Err(Error::invalid(path.join("."), reason));
            }
            _ => {}
        }
        Ok(slot)
    }

    /// The unclaimed columns of the first name that is there; of all names where more columns may come.
    pub fn named(&mut self, names: &[&str]) -> Vec<usize> {
        let mut found = Vec::new();
        for name in names {
            let is_it = |column: &usize| !self.is_claimed(*column) && normal(self.plain_name(*column)) == *name;
            let here: Vec<usize> = (0..self.columns.names.len()).filter(is_it).collect();
            for column in here {
                if found.is_empty() || self.columns.growing {
                    self.claim(column);
                    found.push(column);
                }
            }
        }
        found
    }

    /// The attributes, and the columns that are left out.
    pub fn bag<'m>(
        &mut self,
        mapped: impl IntoIterator<Item = (&'m String, &'m Field)>,
        spread: Option<&[String]>,
        default_spread: &str,
        rest: Option<Rest>,
        default_rest: Rest,
    ) -> Result<(Bag, Vec<usize>)> {
        let mut bag = Bag::default();
        for (name, field) in mapped {
            let mut slot = self.mapped(name, default_spread, field)?;
            if let (None, Some(column)) = (slot.kind, slot.columns.first()) {
                slot.kind = (self.columns.infer)(*column);
            }
            bag.named.push(slot);
        }
        for name in spread.unwrap_or(&[default_spread.to_owned()]) {
            if let Some(column) = self.find(name).filter(|column| !self.is_claimed(*column)) {
                self.claim(column);
                bag.spread.push(column);
            }
        }
        let free = (0..self.columns.names.len()).filter(|column| !self.is_claimed(*column));
        let (free, nameless): (Vec<usize>, Vec<usize>) = free.partition(|column| !self.plain_name(*column).is_empty());
        if rest.unwrap_or(default_rest) == Rest::Ignore {
            return Ok((bag, free));
        }
        for column in free {
            let suffix = self.suffix(column);
            bag.named.push(Slot {
                name: self.plain_name(column).to_owned(),
                columns: vec![column],
                kind: suffix.map(suffix_type).or_else(|| (self.columns.infer)(column)),
                separator: suffix.and_then(suffix_separator),
                ..Slot::default()
            });
        }
        Ok((bag, nameless))
    }

    /// An error unless each of the slots has a column or a constant.
    pub fn require(&self, slots: &[&Slot]) -> Result<()> {
        if self.columns.growing {
            return Ok(());
        }
        match slots.iter().find(|slot| slot.columns.is_empty() && slot.constant.is_none()) {
            Some(slot) => {
                let reason = format!("no column is called so; {}; map one", self.list());
                Err(Error::invalid(format!("{}.{}", self.section, slot.name), reason))
            }
            None => Ok(()),
        }
    }

    /// The column of this name, with or without a suffix of RecBole.
    fn find(&self, name: &str) -> Option<usize> {
        let names = || self.columns.names.iter();
        names().position(|column| column == name).or_else(|| names().position(|column| split_suffix(column).0 == name))
    }

    /// The column's name without a suffix of RecBole.
    pub fn plain_name(&self, column: usize) -> &'c str {
        self.columns.names.get(column).map_or("", |name| split_suffix(name).0)
    }

    fn suffix(&self, column: usize) -> Option<Suffix> {
        self.columns.names.get(column).and_then(|name| split_suffix(name).1)
    }

    fn claim(&mut self, column: usize) {
        if let Some(claimed) = self.claimed.get_mut(column) {
            *claimed = true;
        }
    }

    fn is_claimed(&self, column: usize) -> bool {
        self.claimed.get(column).copied().unwrap_or(true)
    }

    fn list(&self) -> String {
        const SHOWN: usize = 40;
        let names = self.columns.names;
        let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if names.len() > SHOWN { ", …" } else { "" };
        format!("the columns are {shown}{more}")
    }
}

/// The types that RecBole writes behind a column's name.
#[derive(Clone, Copy)]
enum Suffix {
    Token,
    Float,
    TokenSeq,
    FloatSeq,
}

fn split_suffix(name: &str) -> (&str, Option<Suffix>) {
    let suffix = name.rsplit_once(':').and_then(|(plain, suffix)| match suffix {
        "token" => Some((plain, Suffix::Token)),
        "float" => Some((plain, Suffix::Float)),
        "token_seq" => Some((plain, Suffix::TokenSeq)),
        "float_seq" => Some((plain, Suffix::FloatSeq)),
        _ => None,
    });
    suffix.map_or((name, None), |(plain, suffix)| (plain, Some(suffix)))
}

fn suffix_type(suffix: Suffix) -> FieldType {
    match suffix {
        Suffix::Token => FieldType::Text,
        Suffix::Float => FieldType::Number,
        Suffix::TokenSeq => FieldType::List,
        Suffix::FloatSeq => FieldType::Numbers,
    }
}

fn suffix_separator(suffix: Suffix) -> Option<String> {
    matches!(suffix, Suffix::TokenSeq | Suffix::FloatSeq).then(|| " ".to_owned())
}

/// `user_id`, `User ID` and `userId` are one name.
fn normal(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}
