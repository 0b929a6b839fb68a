//! The tables, and the statements that use them.

use canary_controller::store::{Document, EventRecord};

use crate::session::VERSION;

/// The names of the tables, quoted, and the statements.
pub(crate) struct Tables {
    pub(crate) version: String,
    pub(crate) documents: String,
    /// The channel of notifications. Channels belong to a database and have no schema. A notification
    /// of another schema's key only causes a read.
    pub(crate) channel: String,
    pub(crate) load: String,
    pub(crate) create: String,
    pub(crate) replace: String,
    pub(crate) remove: String,
    pub(crate) list: String,
    pub(crate) append: String,
    pub(crate) events: String,
    schema: Option<String>,
    events_table: String,
    histories: String,
    revisions: String,
}

impl Tables {
    pub(crate) fn new(schema: Option<&str>, prefix: &str) -> Self {
        let name = |suffix: &str| match schema {
            Some(schema) => format!(r#""{schema}"."{prefix}{suffix}""#),
            None => format!(r#""{prefix}{suffix}""#),
        };
        let (documents, events) = (name("documents"), name("events"));
        let (histories, revisions) = (name("histories"), name("revisions"));
        // A document that is too long is cut, so that it does not parse, and takes no memory.
        let text = format!("left(d.document, {})", Document::MAX_LEN + 1);
        let event = format!("left(event, {})", EventRecord::MAX_LEN + 1);
        let digest = format!("left(encode(sha256(convert_to({text}, 'UTF8')), 'hex'), 16)");
        let next = format!("nextval('{revisions}')");
        let replica = "(select pg_is_in_recovery() as is_replica) s";
        let notify = "case when $2 then pg_notify($3, $1)::text end";
        let kept = EventRecord::MIN_KEPT;
        Self {
            load: format!(
                "select s.is_replica, d.revision, {digest}, {text} \
                 from {replica} left join {documents} d on d.key = $1"
            ),
            create: format!(
                "with stored as (insert into {documents} as d (key, revision, document) \
                 values ($1, {next}, $4) on conflict (key) do nothing \
                 returning d.revision, {digest} as digest) \
                 select revision, digest, {notify} from stored"
            ),
            replace: format!(
                "with stored as (update {documents} as d set revision = {next}, document = $4 \
                 where d.key = $1 and d.revision = $5 and {digest} = $6 \
                 returning d.revision, {digest} as digest) \
                 select revision, digest, {notify} from stored"
            ),
            remove: format!(
                "with removed as (delete from {documents} as d \
                 where d.key = $1 and d.revision = $4 and {digest} = $5 returning d.key) \
                 select {notify} from removed"
            ),
            list: format!(
                "select s.is_replica, d.key, d.revision, {digest}, {text} \
                 from {replica} left join {documents} d on d.key >= $1 and d.key < $2 \
                 order by d.key"
            ),
            // Updating the row of the history locks it until the commit, so that numbers become
            // visible in their order.
            append: format!(
                "with numbered as (insert into {histories} as h (key, last) \
                 values ($1, 1 + coalesce((select max(number) from {events} where key = $1), 0)) \
                 on conflict (key) do update set last = h.last + 1 returning last), \
                 added as (insert into {events} (key, number, event) \
                 select $1, last, $2 from numbered), \
                 trimmed as (delete from {events} e using numbered \
                 where e.key = $1 and e.number <= numbered.last - {kept}) \
                 select last from numbered"
            ),
            events: format!(
                "select s.is_replica, {event} from {replica} left join \
                 (select number, event from {events} where key = $1 \
                 order by number desc limit $2) e on true order by e.number"
            ),
            version: name("store"),
            channel: format!("{prefix}documents"),
            schema: schema.map(str::to_owned),
            documents,
            events_table: events,
            histories,
            revisions,
        }
    }

    /// Returns the statements that create what is missing. The revisions begin with the current time in
    /// microseconds, so that they differ from those of tables that were dropped.
    pub(crate) fn creation(&self, micros: u64) -> String {
        let Self { version, documents, events_table, histories, revisions, .. } = self;
        let schema = self.schema.as_deref().map_or_else(String::new, |schema| {
            // `create schema if not exists` needs the right to create one even if it exists.
            format!(
                "do $$ begin if to_regnamespace('{schema}') is null then \
                 create schema \"{schema}\"; end if; end $$;"
            )
        });
        format!(
            "select pg_advisory_xact_lock({LOCK}); {schema} \
             create table if not exists {version} (\
             is_only_row boolean primary key default true check (is_only_row), \
             version integer not null); \
             create sequence if not exists {revisions} as bigint start with {micros}; \
             create table if not exists {documents} (key text collate \"C\" primary key, \
             revision bigint not null, document text not null); \
             create table if not exists {histories} (key text collate \"C\" primary key, \
             last bigint not null); \
             create table if not exists {events_table} (key text collate \"C\", number bigint, \
             event text not null, primary key (key, number)); \
             insert into {version} (version) values ({VERSION}) on conflict do nothing;"
        )
    }
}

/// Chosen at random. Advisory locks belong to a database.
const LOCK: i64 = 7_021_684_417_952_236_581;
