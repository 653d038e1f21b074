// SPDX-License-Identifier: Apache-2.0
//
// ConversationSink: where the log of conversations goes, line by line: a folder
// (conversation_log.h), standard output, or a service that collects lines over HTTP.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "llava/core/json.h"
#include "llava/image/rgb_image.h"
#include "llava/serve/web/web_options.h"

namespace llava::serve {

/// Threads: safe.
class ConversationSink {
 public:
  using Time = std::chrono::system_clock::time_point;

  virtual ~ConversationSink() = default;

  /// Adds a line.
  ///
  /// Throws: Error(kResourceExhausted) when the disk refuses, Error(kUnavailable) when the service
  /// does not take it.
  virtual void append(const OrderedJson& entry, Time now) = 0;

  /// The name of a picture in the log, a hash of size, mode and pixels; a folder keeps the picture
  /// under it, others keep none.
  ///
  /// Throws: Error when the disk refuses.
  virtual std::string save_picture(const image::RgbImage& picture, Time now) = 0;
};

/// What the options say; null: nothing is kept.
///
/// Throws: Error naming a folder that cannot be used; Error(kInvalidArgument) for options that do
/// not go together.
std::unique_ptr<ConversationSink> open_conversation_sink(const WebOptions& options,
                                                         ConversationSink::Time now);

/// Names equal pictures equally: SHA-256, in hexadecimal.
std::string picture_name(const image::RgbImage& picture);

}  // namespace llava::serve
