//! For this package only: as a flag of the compiler it would be for tokio too, which then lacks what redis needs.

fn main() {
    println!("cargo::rustc-cfg=loom");
}
