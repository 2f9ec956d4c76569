//! A closed-form teacher, distilled by the engine.

use uni_instruct_train::{Outcome, quickstart};

fn main() -> Result<(), uni_instruct_train::Error> {
    let mut engine = quickstart::engine(10, 1)?;
    while engine.state.progress.images < engine.config.images() {
        match engine.update()? {
            Outcome::Applied(stats) => assert!(stats["Loss/fake"].is_finite()),
            Outcome::Skipped(quantity) => panic!("{quantity} was not finite"),
        }
    }
    let points = quickstart::student_points(&engine, 100)?;
    println!("train: {} samples of the student", points.len());
    Ok(())
}
