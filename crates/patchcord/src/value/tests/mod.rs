//! Tests of the rules in the module's table, with one file for each direction, and of properties that hold for every
//! value.

mod decode;
mod encode;
mod keep;
mod property;

use bytes::Bytes;
use rhai::{Array, Dynamic, FnPtr, Instant, Map};

use crate::value::Binary;

/// Type that the host or an embedder could register.
#[derive(Debug, Clone)]
struct Handle;

fn closure() -> Dynamic {
    FnPtr::new("greet").unwrap().into()
}

fn timestamp() -> Dynamic {
    Dynamic::from(Instant::now())
}

fn array<const N: usize>(elements: [Dynamic; N]) -> Dynamic {
    Dynamic::from_array(elements.into())
}

fn map<const N: usize>(entries: [(&str, Dynamic); N]) -> Dynamic {
    let entries = entries.map(|(key, value)| (key.into(), value));
    Dynamic::from_map(Map::from(entries))
}

fn binary(bytes: &'static [u8]) -> Dynamic {
    Dynamic::from(Binary::from(Bytes::from_static(bytes)))
}

/// Returns `depth` nested arrays.
fn nested(depth: usize) -> Dynamic {
    (0..depth).fold(Dynamic::from_int(1), |value, _| array([value]))
}

/// Returns an array that contains itself.
fn knot() -> Dynamic {
    let mut cell = Dynamic::from_array(Array::new()).into_shared();
    let itself = cell.clone();
    cell.write_lock::<Array>().unwrap().push(itself);
    cell
}

/// Returns a cell whose content is the cell itself.
fn self_cell() -> Dynamic {
    let mut cell = Dynamic::UNIT.into_shared();
    let itself = cell.clone();
    *cell.write_lock::<Dynamic>().unwrap() = itself;
    cell
}

/// Returns an array of two cells, which contain arrays of two cells, and so on: 2^60 leaves in 60 cells.
fn doubling() -> Dynamic {
    (0..60).fold(Dynamic::from_int(1).into_shared(), |cell, _| {
        array([cell.clone(), cell]).into_shared()
    })
}

/// Returns a variable that a panicking call was using.
fn poisoned() -> Dynamic {
    let cell = Dynamic::from_int(1).into_shared();
    let mut held = cell.clone();
    let call = std::panic::AssertUnwindSafe(|| {
        let _guard = held.write_lock::<Dynamic>().unwrap();
        std::panic::resume_unwind(Box::new("the call fails"));
    });
    std::panic::catch_unwind(call).unwrap_err();
    cell
}

/// Runs a test on a stack that is much smaller than any that the host uses.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(512 * 1024);
    thread.spawn(test).unwrap().join().unwrap();
}

#[test]
fn values_of_any_depth_come_back_from_a_store() {
    for leaf in [
        Dynamic::from_int(1),
        "text".into(),
        Dynamic::from_blob(vec![1]),
    ] {
        let mut value = leaf;
        for level in 0..super::MAX_DEPTH {
            value = match level % 2 {
                0 => Dynamic::from_array(vec![value]),
                _ => Dynamic::from_map(Map::from([("a key".into(), value)])),
            };
        }
        let value = super::plain(&value).unwrap();
        let mut bytes = Vec::new();
        super::pack(&value, &mut bytes);
        let unpacked = super::unpack(&bytes);
        assert!(unpacked.is_some_and(|unpacked| super::same(&unpacked, &value)));
    }
}
