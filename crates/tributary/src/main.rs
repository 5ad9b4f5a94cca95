//! tributary
fn main(){}
