//! Previews of saves, and staged versions, which serve some clients first: methods of [`Host`].

use super::{Audience, Host, Preview, StageError, Staged, reload::preview::Saved};
use crate::event::{RollbackReason, StagedScript};

impl Host {
    /// Returns the events that [`Host::reload`] would announce for the current files, without changing anything. This
    /// also works while saves wait because of [`Host::pause`] or a stage.
    ///
    /// The host compiles the changed scripts, and runs `on_connection` as a draft for live connections, as a reload
    /// does. It computes the effects on a copy of the state of each connection. No client and no script can observe the
    /// preview.
    ///
    /// Functions that return what they change, such as `io.data.incr`, are not really called. A variable that gets its
    /// value from such a function is reported with its value in the draft.
    ///
    /// ```no_run
    /// # async fn run(host: patchcord::Host) {
    /// host.pause().await;
    /// // ... files change ...
    /// let preview = host.preview().await;
    /// match preview.is_rejected() {
    ///     true => preview.problems().iter().for_each(|problem| eprintln!("{problem}")),
    ///     false => drop(host.resume().await),
    /// }
    /// # }
    /// ```
    pub async fn preview(&self) -> Preview {
        self.state.reloader.preview(Saved::Files).await
    }

    /// Does the same as [`Host::preview`] for texts that are not saved: pairs of the name of a file and its new text.
    /// All other files are used as they are now.
    ///
    /// ```
    /// use patchcord::{Host, HostEvent, script::Memory};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let scripts = Memory::from([("main.rhai", "fn on_connection(socket) { }")]);
    /// let host = Host::builder().loader(scripts).build();
    /// host.load().await.unwrap();
    /// let preview = host.preview_texts([("main.rhai", "fn on_connection(socket) { let x = 1; }")]).await;
    /// assert!(matches!(&preview.events[0], HostEvent::Replaced { version: 2, .. }));
    /// assert_eq!(host.versions().await.len(), 1, "nothing has changed");
    /// # }
    /// ```
    pub async fn preview_texts<N: Into<String>, T: Into<String>>(
        &self,
        texts: impl IntoIterator<Item = (N, T)>,
    ) -> Preview {
        let texts = texts.into_iter();
        let texts = texts
            .map(|(name, text)| (name.into(), text.into()))
            .collect();
        self.state.reloader.preview(Saved::Texts(texts)).await
    }

    /// Does the same as [`Host::preview`] for only these files or folders, each a name or an absolute path. For every
    /// other file, the preview uses the text that was loaded last. An empty list stands for all files.
    ///
    /// # Errors
    /// Returns the first path at which there is no script.
    pub(crate) async fn preview_files(&self, files: &[String]) -> Result<Preview, String> {
        let names = self.state.reloader.names_at(files)?;
        let saved = match names.is_empty() {
            true => Saved::Files,
            false => Saved::Only(names),
        };
        Ok(self.state.reloader.preview(saved).await)
    }

    /// Stages the current files: their versions serve only the clients that `audience` chooses, and all other clients
    /// keep the versions that serve. A client has the staged versions on all of its sockets in all namespaces, or on
    /// none of them. The connections of the chosen clients adopt the versions as they adopt an edit: all of them, or
    /// none if a version fails on one of them. New clients that are chosen get the staged versions when they connect.
    ///
    /// While the files are watched, a save takes effect at once for all clients, so call [`Host::pause`] before the
    /// files change. While versions are staged, saves wait, whether the host is paused or not, and [`Host::reload`] is
    /// rejected.
    ///
    /// A further call changes the choice of clients, for example from `1%` to `10%`. If the files have changed since
    /// the last call, it abandons the staged versions first, and then stages the new ones. With
    /// [`ReloadOptions::rollback_on_errors`](crate::host::ReloadOptions::rollback_on_errors), the host counts failures
    /// on the chosen clients separately from those on all others, and abandons the stage if there are too many.
    ///
    /// All clients share the same `io.data`. `on_load` of the new versions runs when they are promoted. New scripts and
    /// missing files are not staged. A stage does not survive a restart: after it, the files serve all clients.
    ///
    /// # Errors
    /// Returns [`StageError`] if no file differs from what serves, if a script does not load, if a version fails on a
    /// connection of a chosen client, or if there is no such client. In all of these cases, nothing has changed.
    ///
    /// ```
    /// use patchcord::{Host, host::{StageError, Audience}, script::Memory};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let scripts = Memory::from([("main.rhai", "fn on_connection(socket) { }")]);
    /// let host = Host::builder().loader(scripts).build();
    /// host.load().await.unwrap();
    /// let staged = host.stage(Audience::Percent(10.0)).await;
    /// assert_eq!(staged.unwrap_err(), StageError::NothingChanged);
    /// # }
    /// ```
    pub async fn stage(&self, audience: Audience) -> Result<Staged, StageError> {
        self.state.reloader.stage(audience).await
    }

    /// Promotes the staged versions: they serve all clients, or nothing changes if one of them fails on a connection
    /// that does not have it yet. Returns the number of the batch. Saves that waited take effect afterwards.
    ///
    /// # Errors
    /// Returns [`StageError`] if nothing is staged, or if a version fails on one of the other connections. In both
    /// cases, everything stays staged.
    ///
    /// ```no_run
    /// # async fn run(host: patchcord::Host) -> Result<(), Box<dyn std::error::Error>> {
    /// host.stage("10%".parse()?).await?;
    /// // ... watch ...
    /// let batch = host.promote().await?;
    /// println!("batch {batch} serves all clients");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn promote(&self) -> Result<u64, StageError> {
        self.state.reloader.promote().await
    }

    /// Abandons the staged versions: the chosen clients go back to the versions that serve, as with a rollback. The
    /// abandoned versions are not tried again before their files change, unless they are staged again. Saves that
    /// waited take effect afterwards. Returns the abandoned versions, with the effects on the connections that had
    /// them.
    ///
    /// # Errors
    /// Returns [`StageError`] if nothing is staged, or if a version that serves fails on one of these connections. In
    /// both cases, everything stays staged.
    ///
    /// ```no_run
    /// # async fn run(host: patchcord::Host) -> Result<(), patchcord::host::StageError> {
    /// for script in host.abandon().await? {
    ///     println!("{}: version {} is taken back", script.script, script.version);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn abandon(&self) -> Result<Vec<StagedScript>, StageError> {
        let reason = RollbackReason::Requested;
        self.state.reloader.abandon(reason, None).await
    }
}
