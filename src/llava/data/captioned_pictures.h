// SPDX-License-Identifier: Apache-2.0
//
// A training file as pairs of a picture and its caption, for a contrastive stage.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llava/data/conversation_file.h"
#include "llava/data/picture_reader.h"
#include "llava/text/tokenizer.h"

namespace llava::data {

/// Every sample has one picture; its caption is the first answer. Equal captions are one.
///
/// Threads: const, safe to share.
class CaptionedPictures {
 public:
  /// Keeps a reference to `file`. Reads all captions.
  ///
  /// Throws: as ConversationFile::record; Error(kBadFormat) naming a sample that has another number
  /// of pictures than one, or no caption.
  CaptionedPictures(const ConversationFile& file, const text::Tokenizer& tokenizer,
                    PictureRules rules);

  int64_t size() const noexcept { return file_.size(); }
  /// Token ids of every distinct caption, without special tokens, in the order of first use.
  const std::vector<std::vector<int32_t>>& captions() const noexcept { return captions_; }
  /// Which of them a sample has.
  int32_t caption_of(int64_t index) const { return owners_[static_cast<std::size_t>(index)]; }
  /// Throws: as read_picture, naming the sample.
  image::PixelValues pixels(int64_t index) const;

 private:
  const ConversationFile& file_;
  PictureRules rules_;
  std::vector<std::vector<int32_t>> captions_;
  std::vector<int32_t> owners_;
};

}  // namespace llava::data
