//! Rehearsal of an adoption: its effects, computed on copies.

use std::sync::Arc;

use super::Connection;
use crate::{
    connection::{
        Adopted, Data, Drafts,
        adoption::adopt,
        merge::{merge_data, merge_presence},
    },
    script::{Copies, Handles, Version},
};

impl Connection {
    /// Returns the effects that [`Connection::adopt`] would have, without changing anything. Called in the connection's
    /// turn.
    pub fn rehearse(
        &self,
        (old, new): (&Arc<Version>, &Arc<Version>),
        handles: &Handles,
        drafts: Option<Drafts>,
    ) -> Adopted {
        let mut copies = Copies::default();
        let (mut registered, mut acks) = {
            let state = self.state();
            (
                state.registered.copy(&mut copies),
                state.acks.copy(&mut copies),
            )
        };
        let (mut adopted, rest) = adopt((&mut registered, &mut acks), (old, new), handles, drafts);
        registered.release();
        copies.release();
        if let Some((base, made)) = rest {
            let data = Arc::new(Data::copy_of(self.data().clone()));
            let first = self.data_at_handshake();
            let mut past = self.state().past.clone();
            let written = (&base.data, made.data);
            merge_data((&data, &first), written, &mut past, &mut adopted.carried);
            adopted.rooms = self.rooms_to_move(&base.rooms, &made.rooms, &mut past);
            let live = self.namespace.held_by(self);
            let keys = merge_presence(&live, (&base.present, &made.present), &mut past);
            adopted.present = keys.into_iter().map(|(key, _, done)| (key, done)).collect();
        }
        adopted
    }
}
