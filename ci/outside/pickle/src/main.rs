//! A state dict, written and read.

use std::io::Cursor;

use uni_instruct_pickle::{Dtype, FileBytes, Limits, PickleError, open, writer::StateDictWriter};

fn main() -> Result<(), PickleError> {
    let mut writer = StateDictWriter::new(Cursor::new(Vec::new()), "model.pt");
    let values = [1.5f32, -2.0].map(f32::to_le_bytes).concat();
    writer.tensor("layer.weight", Dtype::F32, &[1, 2], &values)?;
    let bytes = writer.finish()?.into_inner();
    let contents = open(&FileBytes::new("model.pt", bytes), &Limits::default())?;
    let (state_dict, _) = contents.state_dict(None)?;
    assert_eq!(state_dict.tensors[0].to_f32()?, [1.5, -2.0]);
    println!("pickle: {} has {:?}", state_dict.tensors[0].name, state_dict.tensors[0].shape());
    Ok(())
}
