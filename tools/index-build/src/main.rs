//! `index-build`: makes a snapshot bundle offline, from a data directory or from vectors in files; `savor snapshot import`
//! takes it. For a machine that trains while others serve, and for embeddings that were learned elsewhere.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use savor::{Bundled, Config, Engine, Error, Progress, Result, Step, TrainOptions, VectorFile, build_bundle};

/// Builds a snapshot bundle offline, for `savor snapshot import`
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Where the bundle goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A configuration: training, index
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Train on this data directory (no server may hold it open)
    #[arg(long, value_name = "DIR", conflicts_with = "items", required_unless_present = "items")]
    data: Option<PathBuf>,
    /// Or take item vectors from this .npy, .fvecs or .parquet file
    #[arg(long, value_name = "FILE")]
    items: Option<PathBuf>,
    /// Their ids, one a line; without it the Parquet file's, or the row numbers from 0
    #[arg(long, value_name = "FILE", requires = "items")]
    item_ids: Option<PathBuf>,
    /// User vectors
    #[arg(long, value_name = "FILE", requires = "items")]
    users: Option<PathBuf>,
    /// Their ids, one a line
    #[arg(long, value_name = "FILE", requires = "users")]
    user_ids: Option<PathBuf>,
    /// The column of the vectors in Parquet files
    #[arg(long, value_name = "NAME", default_value = "vector")]
    vector_column: String,
    /// The column of the ids in Parquet files
    #[arg(long, value_name = "NAME")]
    id_column: Option<String>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("index-build: {error}");
            ExitCode::from(if matches!(error, Error::Invalid { .. }) { 2 } else { 1 })
        }
    }
}

fn run(args: &Args) -> Result<String> {
    let config = args.config.as_ref().map_or_else(|| Ok(Config::default()), Config::from_file)?;
    let to = args.out.display();
    if let Some(data) = &args.data {
        let engine = Engine::open(data, config)?;
        let id = engine.train_with(&TrainOptions::default(), &Lines)?;
        engine.export_snapshot(id, &args.out)?;
        let manifest = engine.snapshot(id)?;
        return Ok(format!("{to}: snapshot {id}, {} users, {} items", manifest.users, manifest.items));
    }
    let file = |path: &PathBuf, ids: &Option<PathBuf>| VectorFile {
        path: path.clone(),
        ids: ids.clone(),
        vector_column: args.vector_column.clone(),
        id_column: args.id_column.clone(),
    };
    let Some(items) = args.items.as_ref().map(|path| file(path, &args.item_ids)) else {
        return Err(Error::Invalid { field: "--items".into(), reason: "is missing".into() });
    };
    let users = args.users.as_ref().map(|path| file(path, &args.user_ids));
    let Bundled { items, users, dimension, why } = build_bundle(&items, users.as_ref(), &config, &args.out, &Lines)?;
    Ok(format!("{to}: {items} items, {users} users, dimension {dimension}; {why}"))
}

/// Steps as lines on standard error.
struct Lines;

impl Progress for Lines {
    fn report(&self, step: &Step) {
        match step {
            Step::Epoch { epoch, epochs, loss } => eprintln!("epoch {epoch} of {epochs}, loss {loss:.6}"),
            Step::Indexing { done, total } if done == total => eprintln!("indexed {total} vectors"),
            Step::Writing => eprintln!("writing"),
            _ => {}
        }
    }
}
