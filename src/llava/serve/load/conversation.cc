// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/load/conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "llava/core/base64.h"
#include "llava/core/file.h"
#include "llava/image/decode.h"

namespace llava::serve {
namespace {

constexpr uint64_t kMaxImageBytes = 64 << 20;
constexpr std::array<std::string_view, 24> kWords{
    "what",   "is",     "shown", "here",  "and",   "where", "does",  "the",
    "small",  "bright", "shape", "stand", "left",  "right", "of",    "another",
    "colour", "count",  "every", "line",  "under", "above", "thing", "near"};

std::string url_of(std::string_view bytes) {
  // The type is not trusted by anybody: the content says what it is.
  return "data:image/png;base64," + encode_base64(bytes);
}

}  // namespace

ConversationMaker::ConversationMaker(const LoadOptions& options)
    : options_(options), random_(options.seed) {
  for (const std::string& file : options.image) {
    files_.push_back(url_of(read_file(file, kMaxImageBytes)));
  }
  if (options.images > 0) shared_url_ = picture_url();
}

OrderedJson ConversationMaker::begin() {
  OrderedJson content = OrderedJson::array();
  std::bernoulli_distribution shares(options_.shared_image_ratio);
  for (int32_t i = 0; i < options_.images; ++i) {
    std::string url = i == 0 && shares(random_) ? shared_url_ : picture_url();
    content.push_back({{"type", "image_url"}, {"image_url", {{"url", std::move(url)}}}});
  }
  content.push_back({{"type", "text"}, {"text", question()}});
  return OrderedJson::array({{{"role", "user"}, {"content", std::move(content)}}});
}

void ConversationMaker::go_on(OrderedJson& messages, const std::string& answer) {
  messages.push_back({{"role", "assistant"}, {"content", answer}});
  messages.push_back({{"role", "user"}, {"content", question()}});
}

std::string ConversationMaker::question() {
  std::uniform_int_distribution<std::size_t> any(0, kWords.size() - 1);
  std::string text;
  for (int32_t i = 0; i < options_.prompt_words; ++i) {
    if (i > 0) text += ' ';
    text += kWords.at(any(random_));
  }
  return text + "?";
}

std::string ConversationMaker::picture_url() {
  if (!files_.empty()) return files_[next_file_++ % files_.size()];
  return draw_picture();
}

std::string ConversationMaker::draw_picture() {
  // A few rectangles: no two pictures are the same, and their files are small.
  constexpr int32_t kRectangles = 8;
  const int32_t size = options_.image_size;
  image::RgbImage picture(image::ImageSize{size, size});
  std::uniform_int_distribution<int32_t> place(0, size - 1);
  std::uniform_int_distribution<int32_t> level(0, 255);
  for (int32_t i = 0; i < kRectangles; ++i) {
    const bool is_ground = i == 0;
    const int32_t left = is_ground ? 0 : place(random_);
    const int32_t top = is_ground ? 0 : place(random_);
    const int32_t right = is_ground ? size : std::min(size, left + 1 + place(random_) / 2);
    const int32_t bottom = is_ground ? size : std::min(size, top + 1 + place(random_) / 2);
    const std::array<int32_t, 3> colour{level(random_), level(random_), level(random_)};
    for (int32_t y = top; y < bottom; ++y) {
      uint8_t* const row = picture.row(y);
      for (int32_t x = left * 3; x < right * 3; ++x) {
        row[x] = static_cast<uint8_t>(colour.at(static_cast<std::size_t>(x % 3)));
      }
    }
  }
  return url_of(image::encode_png(picture));
}

}  // namespace llava::serve
