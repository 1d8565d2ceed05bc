//! Tests of copying and comparing values, and of `Binary`.

use bytes::Bytes;
use rhai::{Array, Dynamic, Map};

use crate::value::{
    Binary, MAX_DEPTH, Refusal, plain, same,
    tests::{
        Handle, array, binary, closure, doubling, knot, map, nested, on_a_small_stack, poisoned,
        self_cell, timestamp,
    },
};

fn samples() -> Vec<Dynamic> {
    vec![
        ().into(),
        true.into(),
        1_i64.into(),
        1.0.into(),
        f64::NAN.into(),
        'a'.into(),
        "a".into(),
        Dynamic::from_blob(vec![1]),
        binary(&[1]),
        array([]),
        array([1_i64.into()]),
        array([1_i64.into(), 2_i64.into()]),
        map([]),
        map([("a", 1_i64.into())]),
        map([("b", 1_i64.into())]),
        map([("a", array(["x".into()]))]),
    ]
}

#[test]
fn a_value_is_the_same_only_as_itself() {
    for (i, a) in samples().iter().enumerate() {
        for (j, b) in samples().iter().enumerate() {
            assert_eq!(same(a, b), i == j, "{a:?} and {b:?}");
            assert_eq!(same(&a.clone().into_shared(), b), i == j);
            assert_eq!(same(a, &b.clone().into_shared()), i == j);
            assert_eq!(
                same(&a.clone().into_shared(), &b.clone().into_shared()),
                i == j
            );
        }
    }
}

#[test]
fn code_and_handles_are_known_by_type_only() {
    let other = rhai::FnPtr::new("other").unwrap();
    assert!(same(&closure(), &other.into()));
    assert!(same(&timestamp(), &timestamp()));
    assert!(same(&Dynamic::from(Handle), &Dynamic::from(Handle)));
    assert!(same(&array([closure()]), &array([closure().into_shared()])));
    assert!(!same(
        &Dynamic::from(Handle),
        &Dynamic::from(std::time::Duration::ZERO)
    ));
    assert!(!same(&closure(), &timestamp()));
    assert!(!same(&closure(), &().into()));
}

#[test]
fn comparing_stops() {
    on_a_small_stack(|| {
        assert!(same(&nested(MAX_DEPTH), &nested(MAX_DEPTH)));
        assert!(!same(&nested(MAX_DEPTH + 1), &nested(MAX_DEPTH + 1)));
        assert!(!same(&knot(), &knot()));
        assert!(!same(&self_cell(), &self_cell()));
        assert!(!same(&self_cell(), &().into()));
        assert!(!same(&doubling(), &doubling()));
    });
}

#[test]
fn a_variable_in_use_equals_nothing() {
    let cell = Dynamic::from_int(1).into_shared();
    let mut held = cell.clone();
    let guard = held.write_lock::<Dynamic>().unwrap();
    assert!(!same(&cell, &cell.clone()));
    drop(guard);
    assert!(same(&cell, &cell.clone()));
    let poisoned = poisoned();
    assert!(!same(&poisoned, &1_i64.into()));
    assert!(!same(&1_i64.into(), &poisoned));
    assert!(!same(&poisoned, &poisoned));
}

#[test]
fn a_plain_copy_is_the_same_and_shares_nothing() {
    for value in samples() {
        assert!(same(&plain(&value).unwrap(), &value));
    }
    let mut list = array([1_i64.into()]).into_shared();
    let kept = plain(&map([("list", list.clone())]).into_shared()).unwrap();
    list.write_lock::<Array>().unwrap().clear();
    assert!(!kept.is_shared());
    let kept = kept.read_lock::<Map>().unwrap();
    assert!(!kept["list"].is_shared());
    assert!(same(&kept["list"], &array([1_i64.into()])));
}

#[test]
fn a_plain_copy_is_writable() {
    let constant = array([1_i64.into()]).into_read_only();
    assert!(!plain(&constant).unwrap().is_read_only());
}

#[test]
fn a_plain_copy_of_binary_data_is_no_copy() {
    let data = Bytes::from_static(b"data");
    let kept = plain(&Dynamic::from(Binary::from(data.clone()))).unwrap();
    assert_eq!(kept.cast::<Binary>().as_bytes().as_ptr(), data.as_ptr());
}

#[test]
fn what_is_not_plain_is_refused_with_its_place() {
    let refused = |value: Dynamic| plain(&value).unwrap_err();
    let error = refused(map([("a", array([().into(), closure()]))]));
    assert_eq!(
        (error.what.clone(), error.path.as_str()),
        (Refusal::Closure, "a[1]")
    );
    assert_eq!(
        error.to_string(),
        "a closure cannot be kept as data: at `a[1]`"
    );
    assert_eq!(
        refused(timestamp()).to_string(),
        "a timestamp cannot be kept as data"
    );
    let handle = refused(Dynamic::from(Handle).into_shared()).what;
    assert_eq!(handle, Refusal::Custom(std::any::type_name::<Handle>()));
    assert_eq!(refused(poisoned()).what, Refusal::Locked);
}

#[test]
fn copying_stops() {
    on_a_small_stack(|| {
        assert!(plain(&nested(MAX_DEPTH)).is_ok());
        for value in [nested(MAX_DEPTH + 1), knot(), self_cell()] {
            assert_eq!(plain(&value).unwrap_err().what, Refusal::TooDeep);
        }
        assert_eq!(plain(&doubling()).unwrap_err().what, Refusal::TooShared);
    });
}

#[test]
fn binary_data_is_sliced_as_rhai_does() {
    let data = Binary::from(b"abcdef".to_vec());
    let cases: [(i64, i64, &[u8]); 11] = [
        (0, 6, b"abcdef"),
        (1, 2, b"bc"),
        (4, 99, b"ef"),
        (6, 1, b""),
        (99, 1, b""),
        (-2, 1, b"e"),
        (-2, i64::MAX, b"ef"),
        (-99, 2, b"ab"),
        (i64::MIN, 1, b"a"),
        (i64::MAX, i64::MAX, b""),
        (2, -1, b""),
    ];
    for (start, len, expected) in cases {
        assert_eq!(
            data.slice(start, len).as_bytes(),
            expected,
            "{start}, {len}"
        );
    }
    assert_eq!(
        data.slice(1, 2).as_bytes().as_ptr(),
        data.as_bytes()[1..].as_ptr()
    );
}

#[test]
fn the_bytes_of_binary_data_are_counted_from_both_ends() {
    let data = Binary::from(vec![7, 8, 255]);
    let indexes = [0, 2, 3, -1, -3, -4, i64::MIN, i64::MAX];
    let expected = [
        Some(7),
        Some(255),
        None,
        Some(255),
        Some(7),
        None,
        None,
        None,
    ];
    assert_eq!(indexes.map(|index| data.get(index)), expected);
    assert_eq!((data.len(), data.is_empty()), (3, false));
    assert!(data.slice(0, 0).is_empty());
    assert_eq!(data.to_blob(), [7, 8, 255]);
    assert_eq!(format!("{data:?}"), "Binary(3 bytes)");
}
