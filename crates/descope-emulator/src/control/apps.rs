//! Applications, MCP servers, consents and mail.

use super::{Control, ControlFault, known};
use crate::apps::{App, AppKind, AppView, McpServer};
use crate::consents::Consent;
use crate::outbox::Mail;

impl Control {
    /// Every app, the clients that registered themselves included.
    pub fn apps(&self) -> Vec<AppView> {
        self.shared.world().registry.apps.iter().map(|(id, app)| app.view(id)).collect()
    }

    /// Registers an app under a client id, or puts it in the place of what was there.
    ///
    /// # Errors
    /// When it belongs to an MCP server that does not exist, or takes the project's own client id.
    pub fn put_app(&self, client_id: &str, app: App) -> Result<AppView, ControlFault> {
        let mut world = self.shared.world();
        if client_id == self.shared.site.project_id {
            return Err(ControlFault::OwnClient(client_id.to_owned()));
        }
        if let AppKind::Mcp(server) = &app.kind
            && !world.registry.has_server(server)
        {
            return Err(ControlFault::UnknownServer(server.clone()));
        }
        let view = app.view(client_id);
        world.registry.apps.insert(client_id.to_owned(), app);
        Ok(view)
    }

    /// Removes an app; false when there is none. Its refresh tokens work no more.
    pub fn remove_app(&self, client_id: &str) -> bool {
        self.shared.world().registry.apps.remove(client_id).is_some()
    }

    /// Registers an MCP server, or puts it in the place of what was there.
    pub fn put_mcp_server(&self, id: &str, server: McpServer) {
        self.shared.world().registry.servers.insert(id.to_owned(), server);
    }

    /// Every consent in force.
    pub fn consents(&self) -> Vec<Consent> {
        self.shared.world().consents.iter().cloned().collect()
    }

    /// Takes a user's consent to a client back; false when there was none.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn revoke_consent(&self, login: &str, client_id: &str) -> Result<bool, ControlFault> {
        let mut world = self.shared.world();
        let user = known(&world, login)?.id.clone();
        Ok(world.consents.revoke(&user, client_id))
    }

    /// The mail that was sent, oldest first.
    pub fn outbox(&self) -> Vec<Mail> {
        self.shared.world().outbox.mail().to_vec()
    }

    /// The newest mail to this address.
    pub fn newest_mail(&self, to: &str) -> Option<Mail> {
        self.outbox().into_iter().rev().find(|mail| mail.to.eq_ignore_ascii_case(to))
    }

    /// Throws the mail away. The links in it stay good.
    pub fn clear_outbox(&self) {
        self.shared.world().outbox.clear();
    }
}
