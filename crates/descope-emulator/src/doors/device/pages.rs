//! What the person sees: the code, what is asked for, and that it is done. Every page works with the keyboard alone.

use axum::response::Response;
use maud::html;

use crate::devices::DeviceGrant;
use crate::doors::pages::page;
use crate::state::Site;

/// Asks for the code that the device shows.
pub(super) fn code_page(site: &Site, typed: &str, trouble: Option<&str>) -> Response {
    let wrong = trouble.is_some();
    page(
        "Connect a device",
        html! {
            h1 { "Connect a device" }
            p { "Enter the code that your device shows." }
            form method="get" action={ "/device/" (site.project_id) } {
                @if let Some(trouble) = trouble {
                    div #trouble.bad role="alert" { (trouble) }
                }
                label for="user_code" { "Code" }
                input #user_code name="user_code" value=(typed) autocomplete="off" autocapitalize="characters"
                    spellcheck="false" autofocus required aria-invalid=[wrong.then_some("true")]
                    aria-describedby=[wrong.then_some("trouble")];
                div.row { button #continue.go type="submit" { "Continue" } }
            }
            footer { "Only enter a code that you asked for yourself, on your own device." }
        },
    )
}

/// Asks whether the device may sign in.
pub(super) fn confirm_page(site: &Site, handle: &str, grant: &DeviceGrant, account: &str) -> Response {
    page(
        "Let this device sign in?",
        html! {
            h1 { "Let this device sign in?" }
            p {
                "A device asks to sign in to " strong { (site.project_name) } " as " strong #account { (account) } "."
            }
            p { "Does it show this code? " strong #code { (grant.user_code) } }
            p { "It asks for: " (grant.scope.join(", ")) }
            form method="post" action={ "/device/" (site.project_id) "/answer" } {
                input type="hidden" name="state_id" value=(handle);
                div.row {
                    // The first in the order of the keyboard is the one that gives nothing away.
                    button #deny type="submit" name="action" value="deny" autofocus { "No, refuse" }
                    button #approve.go type="submit" name="action" value="approve" { "Yes, sign it in" }
                }
            }
            footer {
                "If somebody sent you here, or read the code to you, refuse: they would be signed in as you."
            }
        },
    )
}

/// Says what became of it.
pub(super) fn done_page(approved: bool) -> Response {
    let title = if approved { "The device is signed in" } else { "The device was refused" };
    page(title, html! { h1 #done { (title) } p { "You can close this window." } })
}
