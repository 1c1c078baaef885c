use std::io;
pub const MAX: u32 = 3;
pub struct Cart<T> { items: Vec<T> }
pub enum Kind { A, B }
pub trait Shape { fn area(&self) -> f64; fn twice(&self) -> f64 { 2.0 } }
impl<T> Cart<T> {
    pub fn add(&mut self, t: T) { fn inner() {} }
}
impl Shape for Cart<u8> { fn area(&self) -> f64 { 1.0 } }
mod tests { #[test] fn it_works() {} }
macro_rules! mac { () => {} }
