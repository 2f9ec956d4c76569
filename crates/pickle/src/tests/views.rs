//! Tensors as views of storages.

use super::files::{legacy_bytes, open_bytes, refusal, script_bytes, tensors};
use crate::writer::{TensorSpec, legacy_state_dict};
use crate::{Contents, Dtype, StoredTensor};

fn one(tensor: TensorSpec) -> crate::Result<StoredTensor> {
    let bytes = legacy_state_dict(&[("w".to_owned(), tensor)]).unwrap();
    let Contents { mut state_dicts, .. } = open_bytes(bytes)?;
    Ok(state_dicts.remove(0).tensors.remove(0))
}

fn view(shape: &[usize], strides: &[usize], offset: usize) -> TensorSpec {
    let values: Vec<f32> = (0..24).map(|it| it as f32).collect();
    TensorSpec {
        shape: shape.to_vec(),
        strides: strides.to_vec(),
        offset,
        ..TensorSpec::of_f32(&[24], &values)
    }
}

#[test]
fn views_are_gathered_in_order() {
    let tensors = [
        view(&[2, 3, 4], &[12, 4, 1], 0),
        view(&[4, 3, 2], &[1, 4, 12], 0),
        view(&[2, 4, 3], &[12, 1, 4], 0),
        view(&[3, 4], &[4, 1], 12),
        view(&[2, 2], &[12, 2], 5),
        view(&[3, 1, 2], &[8, 1 << 40, 1], 2),
        view(&[], &[], 7),
        view(&[0, 5], &[5, 1], 0),
        // Overlapping but inside: six elements of a storage of five.
        view(&[3, 2], &[1, 1], 0),
        view(&[4], &[0], 3),
    ];
    for tensor in tensors {
        let (shape, strides) = (&tensor.shape, &tensor.strides);
        let mut expected = Vec::new();
        for flat in 0..shape.iter().product() {
            let mut rest: usize = flat;
            let mut at = tensor.offset;
            for axis in (0..shape.len()).rev() {
                at += rest % shape[axis] * strides[axis];
                rest /= shape[axis];
            }
            expected.push(at as f32);
        }
        let read = one(tensor.clone()).unwrap();
        assert_eq!(read.to_f32().unwrap(), expected, "{tensor:?}");
        assert_eq!((read.shape(), read.strides()), (&**shape, &**strides));
    }
}

#[test]
fn detects_contiguous_tensors() {
    #[rustfmt::skip]
    let table = [
        (view(&[2, 3, 4], &[12, 4, 1], 0),  true),
        (view(&[3, 1, 4], &[4, 99, 1], 3),  true),
        (view(&[0], &[7], 0),               true),
        (view(&[2, 3], &[4, 1], 0),         false),
        (view(&[2, 2], &[1, 2], 0),         false),
    ];
    for (tensor, expected) in table {
        assert_eq!(one(tensor.clone()).unwrap().is_contiguous(), expected, "{tensor:?}");
    }
}

#[test]
fn rejects_views_beyond_their_storage() {
    #[rustfmt::skip]
    let table = [
        (view(&[25], &[1], 0),                    "shape [25] needs more than the 24 elements of its storage"),
        (view(&[24], &[1], 1),                    "leads beyond the 24 elements of its storage"),
        (view(&[2, 2], &[23, 1], 0),              "leads beyond the 24 elements of its storage"),
        (view(&[2, 2], &[1 << 62, 1], 0),         "leads beyond the 24 elements of its storage"),
        (view(&[4, 4], &[1 << 62, 1 << 62], 0),   "leads beyond the 24 elements of its storage"),
        (view(&[1], &[1], usize::MAX >> 1),       "leads beyond the 24 elements of its storage"),
        // With strides of 0, one element could be read any number of times.
        (view(&[1 << 40], &[0], 0),               "needs more than the 24 elements of its storage"),
        (view(&[1 << 40, 1 << 40], &[0, 0], 0),   "is larger than memory"),
        (view(&[2, 3], &[1], 0),                  "2 axes and 1 strides; their numbers must be equal and at most 64"),
    ];
    for (tensor, expected) in table {
        let message = one(tensor.clone()).unwrap_err().to_string();
        assert!(message.starts_with("x: byte "), "{message}");
        assert!(message.contains("tensor `w`: ") && message.contains(expected), "{message}");
    }
}

#[test]
fn rejects_negative_sizes() {
    let bytes = legacy_state_dict(&[("w".to_owned(), view(&[0x7f], &[1], 0))]).unwrap();
    // BININT1 127 becomes the two bytes of an integer that is -1.
    let at = bytes.windows(2).position(|it| it == b"K\x7f").unwrap();
    let mut negative = bytes.clone();
    negative.splice(at..at + 2, *b"\x8a\x01\xff");
    let (_, message) = refusal(negative);
    assert!(message.contains("a shape, stride or offset is not a small number"), "{message}");
}

#[test]
fn reads_elements_of_every_type() {
    let contents = open_bytes(legacy_bytes()).unwrap();
    let (dict, _) = contents.state_dict(None).unwrap();
    for (read, (name, written)) in dict.tensors.iter().zip(tensors()) {
        assert_eq!(read.name, name);
        assert_eq!((read.dtype(), read.shape()), (written.dtype, &[2, 3][..]));
        assert_eq!(*read.bytes().unwrap(), *written.storage);
    }
    #[rustfmt::skip]
    let table = [
        (Dtype::F64,  1.5f64.to_le_bytes().to_vec(),     Some(1.5)),
        (Dtype::F32,  1.5f32.to_le_bytes().to_vec(),     Some(1.5)),
        (Dtype::F16,  0x3e00u16.to_le_bytes().to_vec(),  Some(1.5)),
        (Dtype::Bf16, 0x3fc0u16.to_le_bytes().to_vec(),  Some(1.5)),
        (Dtype::I64,  1i64.to_le_bytes().to_vec(),       None),
        (Dtype::U8,   vec![1],                           None),
        (Dtype::Bool, vec![1],                           None),
    ];
    for (dtype, bytes, expected) in table {
        let tensor = one(TensorSpec::new(dtype, &[1], bytes.clone())).unwrap();
        assert_eq!(*tensor.bytes().unwrap(), bytes, "{dtype:?}");
        let values = tensor.to_f32();
        match expected {
            Some(expected) => assert_eq!(values.unwrap(), [expected], "{dtype:?}"),
            None => {
                let message = values.unwrap_err().to_string();
                assert!(message.contains("expected floating point"), "{message}");
            }
        }
    }
}

#[test]
fn rejects_other_element_types_by_name() {
    let bytes = legacy_state_dict(&[("w".to_owned(), view(&[2], &[1], 0))]).unwrap();
    let name = b"FloatStorage";
    let at = bytes.windows(name.len()).position(|it| it == name).unwrap();
    let mut other = bytes.clone();
    other.splice(at..at + name.len(), *b"CharStorage");
    let (_, message) = refusal(other);
    let expected =
        "a CharStorage is not supported; save the weights again as float32 with torch.save";
    assert!(message.ends_with(expected), "{message}");
    assert!(message.starts_with("x: byte "), "{message}");
}

#[test]
fn views_raw_storages_as_tensors() {
    let contents = open_bytes(script_bytes()).unwrap();
    let storage = &contents.storages[1].storage;
    let tensor = StoredTensor::over(storage, "w".to_owned(), Dtype::F32, &[1, 2]).unwrap();
    assert_eq!(tensor.to_f32().unwrap(), [1.0, 2.0]);
    for shape in [&[3][..], &[1], &[usize::MAX, 2]] {
        let error = StoredTensor::over(storage, "w".to_owned(), Dtype::F32, shape).unwrap_err();
        assert!(error.to_string().contains("tensor `w`: "), "{error}");
    }
}
