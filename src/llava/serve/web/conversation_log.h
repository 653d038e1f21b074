// SPDX-License-Identifier: Apache-2.0
//
// ConversationLog: the original's log of conversations, as files in a folder: a file of lines for
// each local day, and the pictures under their contents' names.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

#include "llava/core/guarded.h"
#include "llava/core/json.h"
#include "llava/image/rgb_image.h"
#include "llava/serve/web/conversation_sink.h"

namespace llava::serve {

/// Threads: safe. Processes may share a folder.
class ConversationLog final : public ConversationSink {
 public:
  /// Makes the folder, for its owner only, where it is not there. What is older than
  /// `retention_days` is removed, now and when a day begins; 0: nothing is.
  ///
  /// Throws: Error naming the folder when it cannot be made.
  ConversationLog(std::filesystem::path folder, int32_t retention_days, Time now);

  /// Appends a line to `YYYY-MM-DD-conv.json` in one write.
  ///
  /// Throws: Error(kResourceExhausted) when the disk refuses.
  void append(const OrderedJson& entry, Time now) override;

  /// Keeps a picture as `serve_images/YYYY-MM-DD/NAME.png` and returns the name, a hash of size,
  /// mode and pixels. One that is there is left alone. Pixels are all that is kept: what a camera
  /// writes beside them is not.
  ///
  /// Throws: Error when the disk refuses.
  std::string save_picture(const image::RgbImage& picture, Time now) override;

 private:
  std::string begin_day(Time now);
  void remove_old(Time now) const;

  std::filesystem::path folder_;
  int32_t retention_days_;
  Guarded<std::string> last_day_;
  Guarded<int> picture_turn_;  ///< one picture is written at a time
};

/// An address without what tells its user: IPv4 without the last byte, IPv6 without all but the
/// first 48 bits. What is no address becomes empty.
std::string anonymized_address(const std::string& address);

}  // namespace llava::serve
