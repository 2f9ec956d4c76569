//! Each opcode in isolation.

use super::files::{global, program, refusal};
use super::round_trip::read;
use crate::PickleError;

#[test]
fn values_of_every_protocol_are_read() {
    #[rustfmt::skip]
    let table: [(&[u8], &str); 40] = [
        // opcodes                                        as Python prints it
        (b"N.",                                           "None"),
        (b"I01\n.",                                       "True"),
        (b"I00\n.",                                       "False"),
        (b"I-12\n.",                                      "-12"),
        (b"L-12L\n.",                                     "-12"),
        (b"L36893488147419103232L\n.",                    "36893488147419103232"),
        (b"F1.5\n.",                                      "1.5"),
        (b"F-inf\n.",                                     "-inf"),
        (b"G\x3f\xf8\0\0\0\0\0\0.",                       "1.5"),
        (b"K\xff.",                                       "255"),
        (b"M\xff\x01.",                                   "511"),
        (b"J\xfe\xff\xff\xff.",                           "-2"),
        (b"\x8a\x00.",                                    "0"),
        (b"\x8a\x01\xff.",                                "-1"),
        (b"\x8a\x02\xff\x00.",                            "255"),
        (b"\x8b\x02\0\0\0\x00\x80.",                      "-32768"),
        (b"\x88.",                                        "True"),
        (b"\x89.",                                        "False"),
        (b"S'a\\x62\\n\\''\n.",                           r#""ab\n'""#),
        (b"V\\u00e9\\U0001f600\xe8\n.",                   r#""é😀è""#),
        (b"U\x02ab.",                                     r#""ab""#),
        (b"T\x02\0\0\0\xff\xfe.",                         "<2 bytes>"),
        (b"\x8c\x02\xc3\xa9.",                            r#""é""#),
        (b"X\x01\0\0\0a.",                                r#""a""#),
        (b"\x8d\x01\0\0\0\0\0\0\0a.",                     r#""a""#),
        (b"C\x01a.",                                      "<1 bytes>"),
        (b"B\x01\0\0\0a.",                                "<1 bytes>"),
        (b"\x8e\x01\0\0\0\0\0\0\0a.",                     "<1 bytes>"),
        (b"\x96\x01\0\0\0\0\0\0\0a.",                     "<1 bytes>"),
        (b"(I1\nI2\nl.",                                  "[1, 2]"),
        (b"(I1\nI2\nd.",                                  "{1: 2}"),
        (b"](K\x01K\x02e.",                               "[1, 2]"),
        (b"]K\x01aK\x02a.",                               "[1, 2]"),
        (b"}K\x01K\x02s(K\x03K\x04u.",                    "{1: 2, 3: 4}"),
        (b"(K\x01K\x02K\x03K\x04t.",                      "(1, 2, 3, 4)"),
        (b"K\x01K\x02K\x03\x87.",                         "(1, 2, 3)"),
        (b"\x8f(K\x01K\x02\x90.",                         "{1, 2}"),
        (b"(K\x01\x91.",                                  "{1}"),
        (b"K\x052K\x060\x86.",                            "(5, 5)"),
        (b"(K\x01(K\x021\x85.",                           "(1,)"),
    ];
    for (bytes, expected) in table {
        let value = read(bytes).unwrap_or_else(|error| panic!("{bytes:02x?}: {error}"));
        assert_eq!(value.to_string(), expected, "{bytes:02x?}");
    }
}

#[test]
fn memo_entries_of_every_form_are_found() {
    #[rustfmt::skip]
    let table: [(&[u8], &str); 6] = [
        (b"K\x01p7\n0g7\n.",                              "1"),
        (b"K\x01q\x070h\x07.",                            "1"),
        (b"K\x01r\x07\0\0\x000j\x07\0\0\0.",              "1"),
        (b"K\x01\x94K\x02\x9400h\x01.",                   "2"),
        // A rewritten entry is not a new one.
        (b"K\x01q\x00K\x02q\x00K\x03\x94000h\x01.",       "3"),
        (b"K\x01\x94K\x02q\x00h\x00\x86.",                "(2, 2)"),
    ];
    for (bytes, expected) in table {
        assert_eq!(read(bytes).unwrap().to_string(), expected, "{bytes:02x?}");
    }
}

#[test]
fn numbers_and_sets_of_libraries_are_plain() {
    let dtype = |kind: &str, order: &str| {
        let mut bytes = global("numpy", "dtype");
        bytes.extend([b"U\x02", kind.as_bytes(), b"\x89\x88\x87R"].concat());
        bytes.extend(format!("(K\x03U\x01{order}NNNtb").bytes());
        bytes
    };
    let scalar = |dtype: Vec<u8>, bytes: &[u8]| {
        let name = global("numpy.core.multiarray", "scalar");
        program(&[&name, &dtype, &[b'C', bytes.len() as u8], bytes, b"\x86R"])
    };
    #[rustfmt::skip]
    let table = [
        (scalar(dtype("f8", "<"), &1.5f64.to_le_bytes()),  "1.5"),
        (scalar(dtype("f4", "<"), &0.25f32.to_le_bytes()), "0.25"),
        (scalar(dtype("i8", "<"), &(-3i64).to_le_bytes()), "-3"),
        (scalar(dtype("b1", "|"), &[1]),                   "True"),
        (program(&[&global("__builtin__", "set"), b"](K\x01K\x02e\x85R"]), "{1, 2}"),
        (program(&[&global("collections", "OrderedDict"), b")RK\x01K\x02s"]), "{1: 2}"),
        (program(&[&global("_codecs", "encode"), b"X\x02\0\0\0\xc3\xa9U\x06latin1\x86R"]), "<1 bytes>"),
        (program(&[&global("torch", "float32")]), "<torch.float32>"),
        (program(&[&global("torch", "device"), b"U\x03cpu\x85R"]), "<torch.device>"),
    ];
    for (bytes, expected) in table {
        assert_eq!(read(&bytes).unwrap().to_string(), expected, "{bytes:02x?}");
    }
    let (error, _) = refusal(program(&[
        b"}U\x01a",
        &global("numpy.core.multiarray", "scalar"),
        &dtype("f8", ">"),
        b"C\x080\0\0\0\0\0\0\0\x86Rs",
    ]));
    assert!(matches!(error, PickleError::BigEndian { .. }), "{error}");
}

/// Every fault is reported with its byte.
#[test]
fn reports_invalid_opcodes_with_their_byte() {
    #[rustfmt::skip]
    let table: [(&[u8], usize, &str); 20] = [
        (b"}\x80\x06N.",            1, "protocol 6, at most 5"),
        (b"\x80\x04.",              2, "the stack is empty"),
        (b"\x80\x04(.",             3, "the stack is empty"),
        (b"\x80\x04t.",             2, "no mark on the stack"),
        (b"\x80\x04NK\x01s.",       5, "the stack is empty"),
        (b"\x80\x04NNNs.",          5, "entries for a value that is not a dictionary"),
        (b"\x80\x04}(Nu.",          5, "a key without a value"),
        (b"\x80\x04NNa.",           4, "items for a value that is not a list"),
        (b"\x80\x04N(N\x90.",       5, "items for a value that is not a set"),
        (b"\x80\x04h\x05.",         2, "no memo entry 5"),
        (b"\x80\x04NNb.",           4, "a state for a value that is not an object"),
        (b"\x80\x04N)R.",           4, "a call of a value that is not a name"),
        (b"\x80\x04\x8c\x01\xff.",  2, "text that is not UTF-8"),
        (b"\x80\x04N\x8c\x00\x93.", 5, "a global whose name is not text"),
        (b"\x80\x04I1x\n.",         2, "text that is not an integer"),
        (b"\x80\x04Fx\n.",          2, "text that is not a number"),
        (b"\x80\x04Sx\n.",          2, "text without quotes"),
        (b"\x80\x04V\\u00g0\n.",    2, "a broken escape in text"),
        (b"\x80\x04gx\n.",          2, "a memo index that is not a number"),
        (b"\x80\x04ctorch\nSize\nNR.", 15, "a call whose arguments are not a tuple"),
    ];
    for (bytes, at, reason) in table {
        let (_, message) = refusal(bytes.to_vec());
        let expected =
            format!("x: byte {at}: {reason}; the file is damaged or hostile, fetch it again");
        assert_eq!(message, expected, "{bytes:02x?}");
    }
}

#[test]
fn names_values_that_are_cut_short() {
    #[rustfmt::skip]
    let table: [(&[u8], &str); 6] = [
        (b"\x80\x04N",                          "byte 3: cut short inside a pickle, which has no end mark"),
        (b"\x80\x04X\xff\xff\xff\xffab.",       "byte 7: cut short inside text"),
        (b"\x80\x04B\xff\xff\xff\x7fab.",       "byte 7: cut short inside a byte string"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff.", "byte 11: cut short inside a byte string"),
        (b"\x80\x04\x95\xff\0\0\0\0\0\0\0N.",   "byte 11: cut short inside a frame of 255 bytes"),
        (b"\x80\x04cos",                        "byte 3: cut short inside a global's name"),
    ];
    for (bytes, expected) in table {
        let (_, message) = refusal(bytes.to_vec());
        assert_eq!(message, format!("x: {expected}; fetch the file again"), "{bytes:02x?}");
    }
}

#[test]
fn rejects_unneeded_opcodes_by_name() {
    #[rustfmt::skip]
    let table: [(&[u8], &str); 7] = [
        (b"(ios\nsystem\n",  "INST"),
        (b"(No",             "OBJ"),
        (b"\x82\x01",        "EXT1"),
        (b"\x84\x01\0\0\0",  "EXT4"),
        (b"\x97",            "NEXT_BUFFER"),
        (b"\x98",            "READONLY_BUFFER"),
        (b"\xff",            "0xff (not an opcode)"),
    ];
    for (bytes, name) in table {
        let at = if bytes[0] == b'(' {
            2 + bytes.iter().position(|it| b"io".contains(it)).unwrap()
        } else {
            2
        };
        let (_, message) = refusal(program(&[bytes]));
        let expected =
            format!("x: byte {at}: opcode {name} is refused; do not open this file with Python");
        assert_eq!(message, expected);
    }
}
