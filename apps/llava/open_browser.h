// SPDX-License-Identifier: Apache-2.0
//
// Shows a page in the user's browser.
#pragma once

#include <string>

namespace llava::app {

/// Whether a person sits before this process: a terminal on standard output, and a desktop.
bool is_on_desktop();

/// Has the desktop open an address, without waiting for it and without a shell; a desktop that
/// cannot is logged.
///
/// Threads: the main thread. The process must not wait for children of its own afterwards.
void open_browser(const std::string& address);

}  // namespace llava::app
