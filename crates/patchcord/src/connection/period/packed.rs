//! A period as plain data, for another process.

use std::{sync::Arc, time::Duration};

use rhai::Dynamic;

use super::{Period, milliseconds};
use crate::script::Cron;

impl Period {
    /// Returns the period as plain data.
    pub(in crate::connection) fn pack(&self) -> Dynamic {
        match self {
            Self::Delay(delay) => milliseconds(*delay).into(),
            Self::Cron(cron) => {
                let (text, zone) = cron.source();
                Dynamic::from_array(vec![text.into(), zone.into()])
            }
        }
    }

    /// Returns the period that [`Period::pack`] has packed; `None` if it is malformed.
    pub(in crate::connection) fn unpack(packed: &Dynamic) -> Option<Self> {
        if let Ok(delay) = packed.as_int() {
            return Some(Self::Delay(Duration::from_millis(delay.try_into().ok()?)));
        }
        let packed = packed.as_array_ref().ok()?;
        let [text, zone] = packed.as_slice() else {
            return None;
        };
        let (text, zone) = (
            text.as_immutable_string_ref(),
            zone.as_immutable_string_ref(),
        );
        let cron = Cron::new(&text.ok()?, &zone.ok()?).ok()?;
        Some(Self::Cron(Arc::new(cron)))
    }
}
