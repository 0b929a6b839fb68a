mod directory;
mod envelope;
mod fail_point;
mod file_store;
mod files;
mod history;
mod owner_check;

pub use self::file_store::FileStore;
