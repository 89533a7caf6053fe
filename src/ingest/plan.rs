//! From rows of cells to records: for each field of the record, the columns it is read from. A plan is built once for a
//! file (for JSON Lines, once for each new name); then every row goes through it and comes out valid or with the first
//! field that is not.

use rustc_hash::FxHashMap;

use super::cell::{Cell, Converted, Style};
use super::mapping::{EventsMapping, ItemsMapping, Mapping, Rest, TimeUnit, UsersMapping};
use super::resolve::{Bag, Columns, Resolver, Slot};
use super::{Kind, Record};
use crate::error::{Error, Result};
use crate::record::{Attributes, Event, Item, Timestamp, User, Value};

/// The cells of one row, by column.
pub(super) trait Cells {
    /// The cell; the reason why there is none that could be read.
    fn get(&self, column: usize) -> Converted<Cell<'_>>;
}

/// A field of a row that cannot be converted.
pub(super) struct BadField {
    pub field: String,
    pub reason: String,
}

/// How a row becomes a record.
pub(super) struct Plan {
    target: Target,
    names: Vec<String>,
    ignored: Vec<usize>,
    null: Vec<String>,
    style: Style,
}

enum Target {
    Event(Box<EventPlan>),
    Item(Box<ItemPlan>),
    User(Box<UserPlan>),
}

struct EventPlan {
    user: Slot,
    item: Slot,
    kind: Slot,
    value: Slot,
    time: Slot,
    time_unit: TimeUnit,
    default_time: Timestamp,
    id: Slot,
    session: Slot,
    dwell_ms: Slot,
    recommendation_id: Slot,
    position: Slot,
    context: Bag,
}

struct ItemPlan {
    id: Slot,
    categories: Slot,
    time: Slot,
    time_unit: TimeUnit,
    hidden: Slot,
    attributes: Bag,
    vectors: Vec<Slot>,
    vector_maps: Vec<usize>,
    /// Length of the vectors of each space, as the first row had it.
    dimensions: FxHashMap<String, usize>,
}

struct UserPlan {
    id: Slot,
    attributes: Bag,
}

impl Plan {
    /// Finds every field's columns. An error if a column that the mapping names, or one of a required field, is missing.
    pub fn new(kind: Kind, mapping: &Mapping, columns: &Columns<'_>) -> Result<Self> {
        let (target, ignored) = match kind {
            Kind::Events => plan_events(&mapping.events, columns)?,
            Kind::Items => plan_items(&mapping.items, columns)?,
            Kind::Users => plan_users(&mapping.users, columns)?,
        };
        let style = Style { decimal_comma: mapping.decimal_comma };
        Ok(Self { target, names: columns.names.to_vec(), ignored, null: mapping.null.clone(), style })
    }

    /// The columns that no field is read from.
    pub fn ignored(&self) -> Vec<String> {
        self.ignored.iter().filter_map(|column| self.names.get(*column)).cloned().collect()
    }

    /// The valid record of a row.
    pub fn record(&mut self, cells: &impl Cells) -> std::result::Result<Record, BadField> {
        let row = RowView { cells, names: &self.names, null: &self.null, style: self.style };
        match &mut self.target {
            Target::Event(plan) => plan.event(&row).map(Record::Event),
            Target::Item(plan) => plan.item(&row).map(Record::Item),
            Target::User(plan) => plan.user(&row).map(Record::User),
        }
    }
}

impl EventPlan {
    fn event<C: Cells>(&self, row: &RowView<'_, C>) -> std::result::Result<Event, BadField> {
        let style = row.style;
        let mut event = Event::new(row.id(&self.user)?, row.id(&self.item)?, row.id(&self.kind)?);
        event.value = row.convert(&self.value, |cell| cell.into_number(style))?;
        let time = row.convert(&self.time, |cell| cell.into_time(self.time_unit, style))?;
        event.time = Some(time.flatten().unwrap_or(self.default_time));
        event.id = row.convert(&self.id, Cell::into_id)?;
        event.session = row.convert(&self.session, Cell::into_id)?;
        event.dwell_ms = row.convert(&self.dwell_ms, |cell| cell.into_count(style, 1 << 53))?;
        event.recommendation_id = row.convert(&self.recommendation_id, Cell::into_id)?;
        let position = row.convert(&self.position, |cell| cell.into_count(style, u32::MAX.into()))?;
        event.position = position.map(|position| position as u32);
        event.context = row.attributes(&self.context)?;
        event.validate().map_err(BadField::from)?;
        Ok(event)
    }
}

impl ItemPlan {
    fn item<C: Cells>(&mut self, row: &RowView<'_, C>) -> std::result::Result<Item, BadField> {
        let style = row.style;
        let mut item = Item::new(row.id(&self.id)?);
        let separator = self.categories.separator.as_deref();
        item.categories = row.convert(&self.categories, |cell| cell.into_texts(separator))?.unwrap_or_default();
        item.time = row.convert(&self.time, |cell| cell.into_time(self.time_unit, style))?.flatten();
        item.hidden = row.convert(&self.hidden, Cell::into_bool)?.unwrap_or(false);
        item.attributes = row.attributes(&self.attributes)?;
        for slot in &self.vectors {
            let separator = slot.separator.as_deref();
            if let Some(vector) = row.convert(slot, |cell| into_vector(cell, separator, style))? {
                item.vectors.insert(slot.name.clone(), vector);
            }
        }
        for column in &self.vector_maps {
            let Some(cell) = row.cell(*column, &[])? else { continue };
            let spaces = into_vectors(cell, style).map_err(|reason| row.bad(*column, reason))?;
            item.vectors.extend(spaces);
        }
        item.validate().map_err(BadField::from)?;
        for (space, vector) in &item.vectors {
            match self.dimensions.get(space) {
                Some(known) if *known != vector.len() => {
                    let reason = format!("has {} numbers, expected {known} as in the rows before", vector.len());
                    return Err(BadField { field: format!("vectors.{space}"), reason });
                }
                Some(_) => {}
                None => {
                    self.dimensions.insert(space.clone(), vector.len());
                }
            }
        }
        Ok(item)
    }
}

impl UserPlan {
    fn user<C: Cells>(&self, row: &RowView<'_, C>) -> std::result::Result<User, BadField> {
        let user = User { id: row.id(&self.id)?, attributes: row.attributes(&self.attributes)? };
        user.validate().map_err(BadField::from)?;
        Ok(user)
    }
}

fn into_vector(cell: Cell<'_>, separator: Option<&str>, style: Style) -> Converted<Vec<f32>> {
    Ok(cell.into_numbers(separator, style)?.into_iter().map(|number| number as f32).collect())
}

fn into_vectors(cell: Cell<'_>, style: Style) -> Converted<Vec<(String, Vec<f32>)>> {
    let vector = |(space, cell): (String, Cell<'_>)| {
        let vector = into_vector(cell, None, style).map_err(|reason| format!("{space}: {reason}"))?;
        Ok((space, vector))
    };
    match cell {
        Cell::Map(entries) => entries.into_iter().map(vector).collect(),
        Cell::Text(text) => {
            let parsed: Cell<'_> = serde_json::from_str(&text).unwrap_or(Cell::Null);
            match parsed {
                Cell::Map(entries) => entries.into_iter().map(vector).collect(),
                _ => Err("is text, expected an object of vectors by space".to_owned()),
            }
        }
        _ => Err("is no object, expected an object of vectors by space".to_owned()),
    }
}

/// A row with what is needed to convert its cells.
struct RowView<'r, C> {
    cells: &'r C,
    names: &'r [String],
    null: &'r [String],
    style: Style,
}

impl<'r, C: Cells> RowView<'r, C> {
    /// The cell of a column, unless it has no value.
    fn cell(&self, column: usize, null: &[String]) -> std::result::Result<Option<Cell<'r>>, BadField> {
        match self.cells.get(column).map_err(|reason| self.bad(column, reason))? {
            Cell::Null => Ok(None),
            Cell::Text(text) if self.null.iter().chain(null).any(|null| *null == text) => Ok(None),
            cell => Ok(Some(cell)),
        }
    }

    /// The field's value; `None` if neither a column nor the constant has one.
    fn convert<'s, T>(
        &self,
        slot: &'s Slot,
        convert: impl FnOnce(Cell<'s>) -> Converted<T>,
    ) -> std::result::Result<Option<T>, BadField>
    where
        'r: 's,
    {
        for column in &slot.columns {
            if let Some(cell) = self.cell(*column, &slot.null)? {
                return convert(cell).map(Some).map_err(|reason| self.bad(*column, reason));
            }
        }
        let Some(constant) = &slot.constant else { return Ok(None) };
        convert(of_value(constant)).map(Some).map_err(|reason| BadField { field: slot.name.clone(), reason })
    }

    /// The text of a field that every row must have.
    fn id(&self, slot: &Slot) -> std::result::Result<String, BadField> {
        let missing = || {
            let column = slot.columns.first().and_then(|column| self.names.get(*column));
            BadField { field: column.unwrap_or(&slot.name).clone(), reason: "is missing".into() }
        };
        self.convert(slot, Cell::into_id)?.ok_or_else(missing)
    }

    fn attributes(&self, bag: &Bag) -> std::result::Result<Attributes, BadField> {
        let mut attributes = Attributes::new();
        for column in &bag.spread {
            let Some(cell) = self.cell(*column, &[])? else { continue };
            let name = self.names.get(*column).map(|name| name.to_lowercase()).unwrap_or_default();
            spread(&mut attributes, name, cell).map_err(|reason| self.bad(*column, reason))?;
        }
        for slot in &bag.named {
            self.convert(slot, |cell| match (slot.kind, cell) {
                (None, Cell::Map(entries)) => flatten(&mut attributes, &slot.name, entries),
                (kind, cell) => {
                    if let Some(value) = cell.into_value(kind, slot.separator.as_deref(), self.style)? {
                        attributes.insert(slot.name.clone(), value);
                    }
                    Ok(())
                }
            })?;
        }
        Ok(attributes)
    }

    fn bad(&self, column: usize, reason: String) -> BadField {
        BadField { field: self.names.get(column).cloned().unwrap_or_default(), reason }
    }
}

/// Puts the entries of an object among the attributes; of what is no object, an attribute of the column's name.
fn spread(attributes: &mut Attributes, name: String, cell: Cell<'_>) -> Converted<()> {
    match cell {
        Cell::Map(entries) => flatten(attributes, "", entries),
        Cell::Text(text) if text.trim_start().starts_with('{') => {
            let parsed: Cell<'_> = serde_json::from_str(&text)
                .map_err(|error| format!("starts like a JSON object but is none: {error}"))?;
            match parsed {
                Cell::Map(entries) => flatten(attributes, "", entries),
                _ => Ok(()),
            }
        }
        single => {
            if let Some(value) = single.into_value(None, None, Style::default())? {
                attributes.insert(name, value);
            }
            Ok(())
        }
    }
}

/// Attributes are flat: an object inside an object becomes attributes with dotted names.
fn flatten(attributes: &mut Attributes, prefix: &str, entries: Vec<(String, Cell<'_>)>) -> Converted<()> {
    for (name, cell) in entries {
        let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match cell {
            Cell::Map(inner) => flatten(attributes, &name, inner)?,
            single => {
                let value = single.into_value(None, None, Style::default());
                if let Some(value) = value.map_err(|reason| format!("{name} {reason}"))? {
                    attributes.insert(name, value);
                }
            }
        }
    }
    Ok(())
}

fn of_value(value: &Value) -> Cell<'_> {
    match value {
        Value::Bool(flag) => Cell::Bool(*flag),
        Value::Number(number) => Cell::Number(*number),
        Value::Text(text) => Cell::text(text),
        Value::List(values) => Cell::List(values.iter().map(of_value).collect()),
    }
}

impl From<Error> for BadField {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid { field, reason } => Self { field, reason },
            other => Self { field: "row".into(), reason: other.to_string() },
        }
    }
}

const USER: &[&str] = &["user", "userid", "uid", "customer", "customerid", "visitor", "visitorid"];
const ITEM: &[&str] = &["item", "itemid", "iid", "product", "productid", "movie", "movieid"];
const EVENT_TYPE: &[&str] = &["type", "event", "eventtype", "feedbacktype", "action", "kind"];
const VALUE: &[&str] = &["value", "rating", "score"];
const EVENT_TIME: &[&str] = &["time", "timestamp", "ts", "datetime", "date", "when", "eventtime", "createdat"];
const ITEM_TIME: &[&str] = &["time", "timestamp", "published", "publishedat", "createdat"];

fn plan_events(mapping: &EventsMapping, columns: &Columns<'_>) -> Result<(Target, Vec<usize>)> {
    let mut resolver = Resolver::new(columns, "events");
    let fields = [
        ("user", &mapping.user, USER),
        ("item", &mapping.item, ITEM),
        ("type", &mapping.kind, EVENT_TYPE),
        ("value", &mapping.value, VALUE),
        ("time", &mapping.time, EVENT_TIME),
        ("id", &mapping.id, &["id", "eventid"]),
        ("session", &mapping.session, &["session", "sessionid"]),
        ("dwell_ms", &mapping.dwell_ms, &["dwellms"]),
        ("recommendation_id", &mapping.recommendation_id, &["recommendationid"]),
        ("position", &mapping.position, &["position"]),
    ];
    let [user, item, mut kind, value, mut time, id, session, dwell_ms, recommendation_id, position] =
        resolver.fields(fields, &mapping.context)?;
    let (context, ignored) =
        resolver.bag(&mapping.context, mapping.spread.as_deref(), "context", mapping.rest, Rest::Ignore)?;
    resolver.require(&[&user, &item])?;
    let rated = value.columns.iter().any(|column| resolver.plain_name(*column) == "rating");
    kind.constant.get_or_insert(Value::Text(if rated { "rating" } else { "view" }.into()));
    let default_time = match time.constant.take() {
        Some(constant) => of_value(&constant)
            .into_time(mapping.time_unit, Style::default())
            .map_err(|reason| Error::invalid("events.time.constant", reason))?
            .unwrap_or_default(),
        None => Timestamp::default(),
    };
    let plan = EventPlan {
        user,
        item,
        kind,
        value,
        time,
        time_unit: mapping.time_unit,
        default_time,
        id,
        session,
        dwell_ms,
        recommendation_id,
        position,
        context,
    };
    Ok((Target::Event(Box::new(plan)), ignored))
}

fn plan_items(mapping: &ItemsMapping, columns: &Columns<'_>) -> Result<(Target, Vec<usize>)> {
    let mut resolver = Resolver::new(columns, "items");
    let names: Vec<&str> = std::iter::once("id").chain(ITEM.iter().copied()).collect();
    let fields = [
        ("id", &mapping.id, names.as_slice()),
        ("categories", &mapping.categories, &["categories", "category", "genres", "genre"]),
        ("time", &mapping.time, ITEM_TIME),
        ("hidden", &mapping.hidden, &["hidden", "ishidden"]),
    ];
    let mapped = mapping.attributes.iter().chain(&mapping.vectors);
    let [id, categories, time, hidden] = resolver.fields(fields, mapped)?;
    let mut vectors = Vec::new();
    for (space, field) in &mapping.vectors {
        vectors.push(resolver.mapped(space, "vectors", field)?);
    }
    let vector_maps = resolver.named(&["vectors"]);
    let (attributes, ignored) =
        resolver.bag(&mapping.attributes, mapping.spread.as_deref(), "attributes", mapping.rest, Rest::Attributes)?;
    resolver.require(&[&id])?;
    let time_unit = mapping.time_unit;
    let dimensions = FxHashMap::default();
    let plan = ItemPlan { id, categories, time, time_unit, hidden, attributes, vectors, vector_maps, dimensions };
    Ok((Target::Item(Box::new(plan)), ignored))
}

fn plan_users(mapping: &UsersMapping, columns: &Columns<'_>) -> Result<(Target, Vec<usize>)> {
    let mut resolver = Resolver::new(columns, "users");
    let names: Vec<&str> = std::iter::once("id").chain(USER.iter().copied()).collect();
    let [id] = resolver.fields([("id", &mapping.id, names.as_slice())], &mapping.attributes)?;
    let (attributes, ignored) =
        resolver.bag(&mapping.attributes, mapping.spread.as_deref(), "attributes", mapping.rest, Rest::Attributes)?;
    resolver.require(&[&id])?;
    Ok((Target::User(Box::new(UserPlan { id, attributes })), ignored))
}
