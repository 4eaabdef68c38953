//! Data sets as a user has them: every test writes its own to a temporary folder.

mod arrays;
mod batches;
mod damaged;
mod errors;
mod files;
mod folders;
mod formats;
mod parts;
mod resizing;
