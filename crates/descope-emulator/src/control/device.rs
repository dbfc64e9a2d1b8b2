//! Sign-ins from other devices, answered without the page.

use super::{Control, ControlFault, known};
use crate::devices::DeviceAnswer;
use crate::views::{DeviceView, device_view};

impl Control {
    /// Every sign-in with a code so far, oldest first.
    pub fn devices(&self) -> Vec<DeviceView> {
        let (now, world) = (self.now(), self.shared.world());
        world.devices.iter().map(|grant| device_view(&world, grant, now)).collect()
    }

    /// Approves the sign-in with this user code, as this user.
    ///
    /// # Errors
    /// When user or open question do not exist.
    pub fn approve_device(&self, user_code: &str, login: &str) -> Result<(), ControlFault> {
        let user_id = known(&self.shared.world(), login)?.id.clone();
        self.answer_device(user_code, DeviceAnswer::Approved { user_id, auth_time: self.now() })
    }

    /// Refuses the sign-in with this user code.
    ///
    /// # Errors
    /// When there is no such open question.
    pub fn deny_device(&self, user_code: &str) -> Result<(), ControlFault> {
        self.answer_device(user_code, DeviceAnswer::Denied)
    }

    fn answer_device(&self, user_code: &str, answer: DeviceAnswer) -> Result<(), ControlFault> {
        if self.shared.world().devices.answer(user_code, answer, self.now()) {
            Ok(())
        } else {
            Err(ControlFault::UnknownUserCode(user_code.to_owned()))
        }
    }
}
