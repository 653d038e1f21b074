// SPDX-License-Identifier: Apache-2.0
#include "llava/text/span_supervision.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "llava/core/check.h"
#include "llava/text/multimodal_sequence.h"
#include "llava/text/prompt.h"

namespace llava::text {
namespace {

SupervisedText render_caption(const ConversationTemplate& conversation,
                              std::span<const Message> messages) {
  if (messages.size() != 2) {
    fail(ErrorCode::kInvalidArgument,
         "a plain dialogue has {} turns, expected a picture and its caption", messages.size());
  }
  SupervisedText result{.text = std::string(kImageToken), .answers = {}};
  result.text += messages[1].text.value_or("") + conversation.sep;
  result.answers.push_back({kImageToken.size(), result.text.size()});
  return result;
}

bool is_open(const Message& message) { return !message.text || message.text->empty(); }

// Styles whose renderer ends a turn with a line end behind the separator, which models do not make.
std::size_t without_line_end(const ConversationTemplate& conversation, std::string_view text) {
  const bool has_line_end =
      conversation.style == SeparatorStyle::kChatml && text.ends_with(conversation.sep + "\n");
  return text.size() - (has_line_end ? 1 : 0);
}

bool overlaps(const ByteRange& token, const ByteRange& answer) {
  if (token.begin == token.end) return token.begin >= answer.begin && token.begin < answer.end;
  return token.end > answer.begin && token.begin < answer.end;
}

// The number of tokens in front of a byte, for tokenizers whose tokens do not fit their texts: as
// far as the text before it alone has the same ones.
std::size_t tokens_before(const Tokenizer& tokenizer, std::string_view text,
                          std::span<const int32_t> ids, std::size_t byte) {
  if (byte >= text.size()) return ids.size();
  const std::vector<int32_t> before = tokenizer.encode(text.substr(0, byte));
  const auto differ = std::mismatch(before.begin(), before.end(), ids.begin(), ids.end());
  return static_cast<std::size_t>(differ.second - ids.begin());
}

class SpanSupervisor {
 public:
  SpanSupervisor(const Tokenizer& tokenizer, SupervisedText text, const SupervisionOptions& options)
      : tokenizer_(tokenizer), text_(std::move(text)), options_(options) {}

  SupervisedSequence run() {
    std::size_t begin = 0;
    for (;;) {
      const std::size_t end =
          options_.has_images ? text_.text.find(kImageToken, begin) : std::string::npos;
      append_piece(begin, std::min(end, text_.text.size()));
      if (end == std::string::npos) break;
      result_.ids.push_back(kImageSentinel);
      const ByteRange image{end, end + kImageToken.size()};
      result_.labels.push_back(is_trained(image) ? kImageSentinel : kIgnoreLabel);
      begin = image.end;
    }
    if (!options_.has_images && static_cast<int64_t>(result_.ids.size()) > options_.max_length) {
      result_.ids.resize(static_cast<std::size_t>(options_.max_length));
      result_.labels.resize(result_.ids.size());
    }
    return std::move(result_);
  }

 private:
  bool is_trained(const ByteRange& token) const {
    return std::any_of(text_.answers.begin(), text_.answers.end(),
                       [&](const ByteRange& answer) { return overlaps(token, answer); });
  }

  // The text between two pictures; as tokenize_with_images, which joins them.
  void append_piece(std::size_t begin, std::size_t end) {
    const std::string_view piece = std::string_view(text_.text).substr(begin, end - begin);
    const std::vector<int32_t> ids = tokenizer_.encode(piece);
    std::vector<int32_t> labels(ids.size(), kIgnoreLabel);
    if (const auto offsets = token_offsets(tokenizer_, piece, ids)) {
      for (std::size_t i = 0; i < ids.size(); ++i) {
        const ByteRange& range = (*offsets)[i];
        if (is_trained({begin + range.begin, begin + range.end})) labels[i] = ids[i];
      }
    } else {
      label_by_prefixes(begin, piece, ids, labels);
    }
    const bool drops_begin =
        begin > 0 && tokenizer_.adds_bos() && !ids.empty() && ids.front() == tokenizer_.bos_id();
    if (tokenizer_.adds_bos() && !ids.empty()) labels.front() = kIgnoreLabel;
    const std::ptrdiff_t first = drops_begin ? 1 : 0;
    result_.ids.insert(result_.ids.end(), ids.begin() + first, ids.end());
    result_.labels.insert(result_.labels.end(), labels.begin() + first, labels.end());
  }

  void label_by_prefixes(std::size_t begin, std::string_view piece, std::span<const int32_t> ids,
                         std::vector<int32_t>& labels) const {
    for (const ByteRange& answer : text_.answers) {
      if (answer.end <= begin || answer.begin >= begin + piece.size()) continue;
      const std::size_t from =
          answer.begin <= begin ? 0 : tokens_before(tokenizer_, piece, ids, answer.begin - begin);
      const std::size_t to = tokens_before(tokenizer_, piece, ids, answer.end - begin);
      for (std::size_t i = from; i < to; ++i) labels[i] = ids[i];
    }
  }

  const Tokenizer& tokenizer_;
  SupervisedText text_;
  const SupervisionOptions& options_;
  SupervisedSequence result_;
};

}  // namespace

SupervisedText render_supervised(const ConversationTemplate& conversation,
                                 std::span<const Message> messages) {
  if (conversation.style == SeparatorStyle::kPlain) return render_caption(conversation, messages);
  SupervisedText result{.text = render_conversation(conversation, messages), .answers = {}};
  // A dialogue that is left open before an answer ends where the answer begins.
  std::vector<Message> part;
  for (const Message& message : messages) {
    part.push_back(message);
    if (message.role != conversation.roles[1] || is_open(message)) continue;
    const std::string closed = render_conversation(conversation, part);
    part.back().text.reset();
    const std::string open = render_conversation(conversation, part);
    part.back() = message;
    LLAVA_CHECK(result.text.starts_with(closed) && closed.starts_with(open));
    result.answers.push_back({open.size(), without_line_end(conversation, closed)});
  }
  return result;
}

SupervisedSequence supervise_spans(const Tokenizer& tokenizer,
                                   const ConversationTemplate& conversation,
                                   std::span<const Message> messages,
                                   const SupervisionOptions& options) {
  if (conversation.style == SeparatorStyle::kSingle) {
    return supervise(tokenizer, conversation, messages, options);
  }
  return SpanSupervisor(tokenizer, render_supervised(conversation, messages), options).run();
}

}  // namespace llava::text
