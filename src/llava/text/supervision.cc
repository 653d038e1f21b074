// SPDX-License-Identifier: Apache-2.0
#include "llava/text/supervision.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "llava/core/error.h"
#include "llava/text/multimodal_sequence.h"
#include "llava/text/prompt.h"

namespace llava::text {
namespace {

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (;;) {
    const std::size_t end = text.find(separator, begin);
    parts.emplace_back(text.substr(begin, end - begin));
    if (end == std::string_view::npos) return parts;
    begin = end + separator.size();
  }
}

// How a stretch of the dialogue is counted: what the part before the marker loses, and what later
// rounds gain or lose because their text does not begin a line of its own.
struct RoundRule {
  std::string marker;
  int32_t head_surplus = 0;
  int32_t later_round_change = 0;
};

class Supervisor {
 public:
  Supervisor(const Tokenizer& tokenizer, const ConversationTemplate& conversation,
             std::span<const Message> messages, const SupervisionOptions& options)
      : tokenizer_(tokenizer),
        conversation_(conversation),
        messages_(messages),
        options_(options) {}

  SupervisedSequence run() {
    switch (conversation_.style) {
      case SeparatorStyle::kPlain:
        supervise_plain();
        break;
      case SeparatorStyle::kLlama2:
        supervise_rounds(rounds_at(*conversation_.sep2), {.marker = "[/INST] ", .head_surplus = 2},
                         /*first=*/1);
        break;
      case SeparatorStyle::kTwo:
        supervise_rounds(rounds_at(*conversation_.sep2),
                         {.marker = conversation_.sep + conversation_.roles[1] + ": ",
                          .head_surplus = 2,
                          .later_round_change = is_legacy() ? 0 : -1},
                         /*first=*/1);
        break;
      case SeparatorStyle::kMpt:
        supervise_rounds(mpt_rounds(),
                         {.marker = conversation_.sep + conversation_.roles[1],
                          .head_surplus = 1,
                          .later_round_change = is_legacy() ? 1 : 0},
                         /*first=*/0);
        break;
      case SeparatorStyle::kSingle:
        supervise_single();
        break;
      default:
        fail(ErrorCode::kUnsupported,
             "conversation template '{}' has no published rule for training labels",
             conversation_.name());
    }
    return std::move(result_);
  }

 private:
  std::vector<int32_t> tokenize_whole(std::string_view text) const {
    return options_.has_images ? tokenize_with_images(tokenizer_, text) : tokenizer_.encode(text);
  }

  std::vector<int32_t> tokenize(std::string_view text) const {
    std::vector<int32_t> ids = tokenize_whole(text);
    if (!options_.has_images && static_cast<int64_t>(ids.size()) > options_.max_length) {
      ids.resize(static_cast<std::size_t>(options_.max_length));
    }
    return ids;
  }

  int32_t count(std::string_view text) const {
    return static_cast<int32_t>(tokenize_whole(text).size());
  }

  // In the legacy dialect text after a special token gets a prefix space of its own.
  bool is_legacy() const {
    const std::string end = tokenizer_.named_token("eos_token");
    if (end.empty()) return false;
    const std::vector<int32_t> alone = tokenizer_.encode("USER", /*add_special=*/false);
    const std::vector<int32_t> behind = tokenizer_.encode(end + "USER", /*add_special=*/false);
    return behind.size() == alone.size() + 1 &&
           std::equal(alone.begin(), alone.end(), behind.begin() + 1);
  }

  void render() {
    text_ = render_conversation(conversation_, messages_);
    result_.ids = tokenize(text_);
    result_.labels = result_.ids;
  }

  std::vector<std::string> rounds_at(std::string_view separator) {
    render();
    return split(text_, separator);
  }

  // System, question and answer are the first round, then pairs of question and answer.
  std::vector<std::string> mpt_rounds() {
    const std::vector<std::string> parts = rounds_at(conversation_.sep);
    std::vector<std::string> rounds;
    std::string first;
    for (std::size_t i = 0; i < std::min<std::size_t>(3, parts.size()); ++i) {
      first += (i == 0 ? "" : conversation_.sep) + parts[i];
    }
    rounds.push_back(std::move(first));
    for (std::size_t i = 3; i < parts.size(); i += 2) {
      rounds.push_back(parts[i] +
                       (i + 1 < parts.size() ? conversation_.sep + parts[i + 1] : std::string()));
    }
    return rounds;
  }

  void mask(int64_t begin, int64_t end) {
    const auto size = static_cast<int64_t>(result_.labels.size());
    for (int64_t i = std::max<int64_t>(0, begin); i < std::min(end, size); ++i) {
      result_.labels[static_cast<std::size_t>(i)] = kIgnoreLabel;
    }
  }

  void supervise_rounds(const std::vector<std::string>& rounds, const RoundRule& rule,
                        int32_t first) {
    int64_t cursor = first;
    mask(0, cursor);
    for (std::size_t i = 0; i < rounds.size() && !rounds[i].empty(); ++i) {
      const std::vector<std::string> parts = split(rounds[i], rule.marker);
      if (parts.size() != 2) break;
      const int32_t change = i > 0 ? rule.later_round_change : 0;
      const int32_t round_length = count(rounds[i]) + change;
      const int32_t head_length = count(parts[0] + rule.marker) - rule.head_surplus + change;
      mask(cursor, cursor + head_length);
      cursor += round_length;
    }
    mask(cursor, static_cast<int64_t>(result_.labels.size()));
    const int64_t total = num_counted_ids();
    if (cursor == total || cursor >= options_.max_length) return;
    mask(0, static_cast<int64_t>(result_.labels.size()));
    result_.warning =
        fmt::format("WARNING: tokenization mismatch: {} vs. {}. (ignored)", cursor, total);
  }

  // The original pads with the unknown token and so does not count a genuine one.
  int64_t num_counted_ids() const { return num_counted(result_.ids); }

  int64_t num_counted(std::span<const int32_t> ids) const {
    const std::optional<int32_t> pad = pad_id();
    return std::count_if(ids.begin(), ids.end(), [&](int32_t id) { return !pad || id != *pad; });
  }

  std::optional<int32_t> pad_id() const {
    if (options_.pad_id) return options_.pad_id;
    const std::string name = tokenizer_.named_token("unk_token");
    return name.empty() ? tokenizer_.pad_id() : tokenizer_.id_of(name);
  }

  void supervise_plain() {
    if (messages_.size() != 2 || !messages_[0].text ||
        messages_[0].text->find(kImageToken) == std::string::npos) {
      fail(ErrorCode::kInvalidArgument,
           "a plain dialogue has {} turns, expected a picture and its caption", messages_.size());
    }
    result_.ids = tokenize_with_images(
        tokenizer_, std::string(kImageToken) + messages_[1].text.value_or("") + conversation_.sep);
    result_.labels = result_.ids;
    mask(0, static_cast<int64_t>(tokenize_with_images(tokenizer_, kImageToken).size()));
  }

  // Each turn is "### Role: text\n"; a question keeps its first two ids, an answer all.
  void supervise_single() {
    const std::string begin = "### ";
    std::vector<std::string> segments{conversation_.system + "\n\n"};
    std::vector<bool> is_question{false};
    for (std::size_t i = 0; i < messages_.size(); ++i) {
      const Message& message = messages_[i];
      segments.push_back(begin + message.role + ": " + message.text.value_or("") + "\n");
      const auto& trained = options_.trained_turns;
      is_question.push_back(message.role == conversation_.roles[0] &&
                            std::find(trained.begin(), trained.end(), i) == trained.end());
    }
    std::string all;
    for (const std::string& segment : segments) all += segment;
    result_.ids = tokenize(all + begin);
    result_.labels = result_.ids;
    int64_t cursor = segment_length(segments[0]);
    mask(0, cursor);
    for (std::size_t i = 1; i < segments.size(); ++i) {
      const int64_t length = segment_length(segments[i]);
      if (is_question[i]) mask(cursor + 2, cursor + length);
      cursor += length;
    }
  }

  // Without pictures the original cuts each segment, and does not count what looks like padding.
  int64_t segment_length(std::string_view segment) const {
    const std::vector<int32_t> ids = tokenize(segment);
    return options_.has_images ? static_cast<int64_t>(ids.size()) : num_counted(ids);
  }

  const Tokenizer& tokenizer_;
  const ConversationTemplate& conversation_;
  std::span<const Message> messages_;
  const SupervisionOptions& options_;
  std::string text_;
  SupervisedSequence result_;
};

}  // namespace

SupervisedSequence supervise(const Tokenizer& tokenizer, const ConversationTemplate& conversation,
                             std::span<const Message> messages, const SupervisionOptions& options) {
  return Supervisor(tokenizer, conversation, messages, options).run();
}

}  // namespace llava::text
