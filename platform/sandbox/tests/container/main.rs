//! Containers as they really are: made by a real starter, looked at from inside and outside. Needs root, and says so.

mod extensions;
mod function;
mod life;
mod outside;
mod rootless;
mod safety;
mod support;
