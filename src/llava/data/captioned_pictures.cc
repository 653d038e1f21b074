// SPDX-License-Identifier: Apache-2.0
#include "llava/data/captioned_pictures.h"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

#include "llava/core/error.h"

namespace llava::data {
namespace {

std::string caption_text(const Record& record) {
  if (record.images.size() != 1) {
    fail(ErrorCode::kBadFormat,
         "{} has {} pictures, expected one with its caption: leave the sample out of a contrastive "
         "stage",
         describe(record), record.images.size());
  }
  const auto answer = std::ranges::find(record.conversations, "gpt", &Turn::from);
  const std::string text = answer == record.conversations.end() ? "" : answer->value;
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    fail(ErrorCode::kBadFormat,
         "{} has no caption, expected a turn of 'gpt' with text: leave the sample out",
         describe(record));
  }
  return text;
}

}  // namespace

CaptionedPictures::CaptionedPictures(const ConversationFile& file, const text::Tokenizer& tokenizer,
                                     PictureRules rules)
    : file_(file), rules_(std::move(rules)) {
  std::unordered_map<std::string, int32_t> known;
  owners_.reserve(static_cast<std::size_t>(file.size()));
  for (int64_t i = 0; i < file.size(); ++i) {
    const Record record = file.record(i);
    const auto [it, is_new] =
        known.emplace(caption_text(record), static_cast<int32_t>(captions_.size()));
    if (is_new) {
      captions_.push_back(tokenizer.encode(it->first, /*add_special=*/false));
      if (captions_.back().empty()) {
        fail(ErrorCode::kBadFormat, "{}: the tokenizer makes no token of the caption '{}'",
             describe(record), it->first);
      }
    }
    owners_.push_back(it->second);
  }
}

image::PixelValues CaptionedPictures::pixels(int64_t index) const {
  const Record record = file_.record(index);
  try {
    return read_picture(rules_, record.images.front()).pixels;
  } catch (const Error& error) {
    fail(error.code(), "{}: {}", describe(record), error.what());
  }
}

}  // namespace llava::data
