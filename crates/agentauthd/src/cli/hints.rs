//! What to do where no browser opens: by the place that the terminal is in.

use agentauth_host::place::Place;

/// What to tell a person who has to get a browser to come back to `port` on this machine's loopback address. Where the
/// provider lets them, another device is the other way.
pub(super) fn without_browser(place: Place, port: Option<u16>, device_offered: bool) -> Vec<String> {
    const DEVICE: &str = "agentauthd login --device";
    let forward = port.map(|port| format!("ssh -L {port}:127.0.0.1:{port} THIS-MACHINE"));
    let mut hints = Vec::new();
    match (place, forward) {
        (Place::Container, _) => hints.push(
            "This is a container: a published port does not reach what listens on 127.0.0.1 in it, so a browser outside cannot \
             come back here."
                .to_owned(),
        ),
        (Place::Wsl, _) => hints.push(
            "Open the address in Windows. It comes back here as long as Windows forwards its 127.0.0.1 to this system \
             (localhostForwarding in .wslconfig)."
                .to_owned(),
        ),
        (Place::Ssh, Some(forward)) => {
            hints.push(format!("This is an SSH session. On the machine with the browser, first run: {forward}"));
        }
        (_, Some(forward)) => {
            hints.push(format!("If the browser is on another machine, first run this there: {forward}"));
        }
        (_, None) => {}
    }
    match (place, device_offered) {
        (Place::Desktop, _) => {}
        (Place::Container, true) => hints.push(format!("Log in on another device: {DEVICE}")),
        (_, true) => hints.push(format!("Or log in on another device: {DEVICE}")),
        (Place::Container, false) => hints.push(format!(
            "Run agentauthd outside of the container, or have device authentication switched on at the provider for: {DEVICE}"
        )),
        (_, false) => {}
    }
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_way() {
        let said = |place, offered| without_browser(place, Some(47_823), offered).join("\n");
        assert!(said(Place::Ssh, true).contains("ssh -L 47823:127.0.0.1:47823"));
        for place in [Place::Ssh, Place::Container, Place::Wsl, Place::Headless] {
            assert!(said(place, true).contains("login --device"), "{place:?}");
        }
        for place in [Place::Ssh, Place::Wsl, Place::Headless] {
            assert!(!said(place, false).contains("--device"), "{place:?}: not offered, not suggested");
        }
        let container = said(Place::Container, false);
        assert!(container.contains("published port") && !container.contains("ssh -L"), "{container}");
        assert!(container.contains("switched on at the provider"), "{container}");
        assert!(!said(Place::Desktop, true).contains("--device"), "a browser is the better way");
        assert!(without_browser(Place::Headless, None, false).is_empty());
    }
}
