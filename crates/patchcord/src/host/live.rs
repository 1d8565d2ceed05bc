//! Previews of saves, and versions for some clients first: methods of [`Host`].

use super::{Host, Preview, StageError, Staged, Whom, reload::preview::Saved};
use crate::event::{RollbackReason, StagedScript};

impl Host {
    /// Returns what [`Host::reload`] would announce for the files as they are now, and changes nothing. Also while
    /// saves wait.
    ///
    /// Compiles what has changed, and lets it vote: `on_connection` runs as a draft on live connections. What each
    /// connection would adopt is computed on copies. No client and no script can observe it. Functions that return what
    /// they change, such as `io.data.incr`, are not called for real, so a variable that has its value from one counts
    /// as it is in the draft.
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

    /// Does the same for texts that are not saved, each with the name of its file. All other files are as they are now.
    ///
    /// ```
    /// use patchcord::{Host, HostEvent, script::Memory};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let scripts = Memory::from([("main.rhai", "fn on_connection(socket) { }")]);
    /// let host = Host::builder().loader(scripts).build();
    /// host.load().await;
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

    /// Does the same as [`Host::preview`] for files by name, or by absolute path: every other file counts as it was
    /// loaded last.
    ///
    /// # Errors
    /// The first path at which there is no script.
    pub(crate) async fn preview_files(&self, files: &[String]) -> Result<Preview, String> {
        let names = self.state.reloader.names_at(files)?;
        let saved = match names.is_empty() {
            true => Saved::Files,
            false => Saved::Only(names),
        };
        Ok(self.state.reloader.preview(saved).await)
    }

    /// Makes the files as they are now serve some clients first, and all others keep what serves. A client has the new
    /// versions with all its sockets in all namespaces, or with none of them. Their connections adopt the versions as
    /// they do after an edit: together or not at all, with the vote of these connections. New clients that are chosen get
    /// the new versions at once.
    ///
    /// A save that is watched takes effect at once, for everybody: [`Host::pause`] before you save what is to be staged.
    /// While something is staged, saves wait, paused or not, and [`Host::reload`] is rejected. To stage again changes the
    /// choice of clients, from `1%` to `10%` for example. If the files have changed since, what was staged is abandoned,
    /// and their new versions are staged. With
    /// [`Options::rollback_on_errors`](crate::Options::rollback_on_errors), failures on the chosen clients are counted
    /// apart from those on the rest, and abandon the stage.
    ///
    /// `io.data` is the same for all. `on_load` of the new versions runs when they are promoted. A new script, and a file
    /// that is gone, are no part of a stage. A stage does not survive a restart: the files serve all clients then.
    ///
    /// # Errors
    /// When no file differs from what serves, a script does not load, a version fails on a connection of a chosen client,
    /// or there is no such client; then nothing has changed.
    ///
    /// ```
    /// use patchcord::{Host, host::{StageError, Whom}, script::Memory};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let scripts = Memory::from([("main.rhai", "fn on_connection(socket) { }")]);
    /// let host = Host::builder().loader(scripts).build();
    /// host.load().await;
    /// let staged = host.stage(Whom::Percent(10.0)).await;
    /// assert_eq!(staged.unwrap_err(), StageError::NothingChanged);
    /// # }
    /// ```
    pub async fn stage(&self, whom: Whom) -> Result<Staged, StageError> {
        self.state.reloader.stage(whom).await
    }

    /// Makes the staged versions serve all clients: together or not at all, with the vote of the connections that do not
    /// have them yet. Returns the number of the batch. What was saved meanwhile takes effect afterwards.
    ///
    /// # Errors
    /// When nothing is staged, or a version fails on one of the other connections; then everything stays staged.
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

    /// Returns the clients that have the staged versions to those that serve, as a rollback does. The versions are not
    /// tried again before their files change, unless they are staged again. What was saved meanwhile takes effect
    /// afterwards. Returns what was staged, with the effects of the return.
    ///
    /// # Errors
    /// When nothing is staged, or a version that serves fails on one of these connections; then everything stays staged.
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
