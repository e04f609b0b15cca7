//! Which schema holds: kept in the first database, and changed by who leads.

use std::sync::Arc;

use seawall_policy::deadline::Deadline;

use super::writes::unwritten;
use super::{Leader, Term};
use crate::call::Refusal;
use crate::schema::Schema;
use crate::storage::{Failed, Storage, Trouble};

/// The schema that holds.
pub(super) struct Known {
    /// Its number in the store; 0: it is not there yet.
    pub(super) number: u64,
    pub(super) schema: Arc<Schema>,
}

impl Known {
    pub(super) fn unsaved(schema: Schema) -> Known {
        Known { number: 0, schema: Arc::new(schema) }
    }
}

/// Why the schema of a start cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemaError {
    /// The store does not say which one holds.
    #[error("the schema cannot be read from the store")]
    Store(#[source] Trouble),
    /// What stands there was written by a newer version.
    #[error("the schema in the store cannot be understood ({0}); was it written by a newer version?")]
    Stored(String),
    /// The file would lose something.
    #[error(
        "the schema file would lose what is stored ({0}); put it back, or set graph.schema = \"\" to use the stored one"
    )]
    Losses(String),
}

/// The stored schema with its number, if there is one.
pub(crate) async fn stored(storage: &Storage) -> Result<Option<(u64, Schema)>, SchemaError> {
    let Some((number, text)) = storage.schema().await.map_err(SchemaError::Store)? else { return Ok(None) };
    let schema = Schema::parse(&text).map_err(|wrong| SchemaError::Stored(wrong.join("; ")))?;
    Ok(Some((number, schema)))
}

/// The schema a start works with: the file's if there is one and nothing is lost by it, else the stored one, else the
/// built-in one.
pub(crate) async fn choose(storage: &Storage, file: Option<Schema>) -> Result<Schema, SchemaError> {
    match (stored(storage).await?, file) {
        (Some((_, old)), Some(new)) => {
            let losses = new.losses(&old);
            if losses.is_empty() { Ok(new) } else { Err(SchemaError::Losses(losses.join("; "))) }
        }
        (Some((_, old)), None) => Ok(old),
        (None, Some(new)) => Ok(new),
        (None, None) => Ok(Schema::built_in()),
    }
}

impl Leader {
    /// A term begins: the stored schema holds, unless the one of the start adds to it.
    pub(super) async fn settle_schema(&self, term: &Term, deadline: Deadline) -> Result<(), SchemaError> {
        let _alone = self.schema_changes.lock().await;
        let ours = self.schema.load_full();
        let found = stored(&self.storage).await?;
        let number = found.as_ref().map_or(0, |(number, _)| *number);
        if let Some((number, old)) = found
            && (old == *ours.schema || !ours.schema.losses(&old).is_empty())
        {
            if old != *ours.schema {
                tracing::warn!("another process has changed the schema since; what it wrote holds");
            }
            self.schema.store(Arc::new(Known { number, schema: Arc::new(old) }));
            return Ok(());
        }
        let text = ours.schema.text();
        let put = self.storage.schema_put(&term.epochs, number, &text, deadline).await;
        if put.map_err(|failed| SchemaError::Store(failed.trouble))? {
            self.schema.store(Arc::new(Known { number: number + 1, schema: ours.schema.clone() }));
        }
        Ok(())
    }

    pub(super) async fn schema_put(&self, new: Schema, deadline: Deadline) -> Result<(), Refusal> {
        let term = self.term()?;
        let _alone = self.schema_changes.lock().await;
        let known = self.schema.load_full();
        if *known.schema == new {
            return Ok(());
        }
        let losses = new.losses(&known.schema);
        if !losses.is_empty() {
            return Err(Refusal::Invalid(losses.join("; ")));
        }
        match self.storage.schema_put(&term.epochs, known.number, &new.text(), deadline).await {
            Ok(true) => {
                self.schema.store(Arc::new(Known { number: known.number + 1, schema: Arc::new(new) }));
                Ok(())
            }
            // Only another leader can have been faster.
            Ok(false) | Err(Failed { trouble: Trouble::Fenced, .. }) => {
                self.end(&term);
                Err(Refusal::Standby)
            }
            Err(Failed { shard, trouble }) => Err(unwritten(shard, trouble)),
        }
    }
}
