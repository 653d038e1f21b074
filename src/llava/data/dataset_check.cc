// SPDX-License-Identifier: Apache-2.0
#include "llava/data/dataset_check.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

#include "llava/core/error.h"
#include "llava/data/duplicate_samples.h"
#include "llava/data/word_count.h"
#include "llava/image/layout.h"
#include "llava/text/conversation.h"
#include "llava/text/multimodal_sequence.h"
#include "llava/text/supervision.h"

namespace llava::data {
namespace {

constexpr int64_t kSamplesPerPart = 64;

// What one part of the samples gives; parts are put together in any order.
struct Tally {
  DataReport report;
  void add(Trap trap, int64_t index, std::string what, int64_t most_findings) {
    const auto number = static_cast<std::size_t>(trap);
    if (report.counts[number]++ < most_findings) {
      report.findings.push_back({trap, index, std::move(what)});
    }
  }
};

Trap trap_of(DialogueFault fault) {
  switch (fault) {
    case DialogueFault::kUnknownSpeaker:
      return Trap::kUnknownSpeaker;
    case DialogueFault::kNoAlternation:
      return Trap::kNoAlternation;
    case DialogueFault::kWrongForm:
      break;
  }
  return Trap::kWrongForm;
}

// Labels at positions that the model still sees.
int64_t labels_within(const Sample& sample, int64_t max_length) {
  int64_t position = 0;
  int64_t labels = 0;
  std::size_t picture = 0;
  for (std::size_t i = 0; i < sample.ids.size() && static_cast<int64_t>(i) < max_length; ++i) {
    if (sample.ids[i] == text::kImageSentinel && picture < sample.pictures.size()) {
      position += sample.pictures[picture++].layout.num_tokens;
      continue;
    }
    // The first position of all has nothing that predicts it.
    const bool is_trained =
        sample.labels[i] != text::kIgnoreLabel && sample.labels[i] != text::kImageSentinel;
    if (is_trained && position > 0 && position < max_length) ++labels;
    ++position;
  }
  return labels;
}

class Checker {
 public:
  Checker(const ConversationFile& file, const CheckOptions& options)
      : file_(file),
        options_(options),
        pictures_(options.maker != nullptr ? options.maker->rules().pictures : options.pictures,
                  options.depth),
        hashes_(static_cast<std::size_t>(file.size())) {
    total_.lengths.resize(static_cast<std::size_t>(file.size()));
    total_.source = file.source();
    total_.num_samples = file.size();
    total_.is_in_tokens = options.maker != nullptr;
    if (options.maker != nullptr) {
      total_.max_length = options.maker->rules().model_max_length;
      SampleRules whole = options.maker->rules();
      whole.model_max_length = std::numeric_limits<int64_t>::max();
      whole_maker_.emplace(options.maker->tokenizer(), std::move(whole));
      dialogue_rules_ = options.maker->rules().dialogue;
      special_tokens_ = options.maker->tokenizer().special_tokens();
      std::erase(special_tokens_, std::string(text::kImageToken));
      std::erase(special_tokens_, std::string());
    } else {
      dialogue_rules_ = options.dialogue;
    }
    if (dialogue_rules_.conversation == nullptr) {
      dialogue_rules_.conversation = &text::find_conversation_template("vicuna_v1");
    }
  }

  DataReport run(ThreadPool& pool) {
    const int64_t num_parts = (file_.size() + kSamplesPerPart - 1) / kSamplesPerPart;
    pool.run(num_parts, [&](int64_t part) {
      Tally tally;
      const int64_t begin = part * kSamplesPerPart;
      const int64_t end = std::min(begin + kSamplesPerPart, file_.size());
      for (int64_t i = begin; i < end; ++i) check(i, tally);
      merge(tally, end - begin);
    });
    add_duplicates();
    check_template();
    total_.num_pictures = pictures_.num_pictures();
    sort_findings();
    return std::move(total_);
  }

 private:
  void check(int64_t index, Tally& tally) {
    const auto add = [&](Trap trap, std::string what) {
      tally.add(trap, index, std::move(what), options_.most_findings);
    };
    Record record;
    try {
      record = file_.record(index);
    } catch (const Error& error) {
      return add(Trap::kBadRecord, error.what());
    }
    hashes_[static_cast<std::size_t>(index)] = content_hash(record);
    tally.report.num_turns += static_cast<int64_t>(record.conversations.size());
    if (record.has_image_key) ++tally.report.num_with_pictures;
    set_length(index, count_words(record));
    check_texts(record, add);
    const bool has_pictures = check_pictures(record, add);
    Dialogue dialogue;
    try {
      dialogue = make_dialogue(record, dialogue_rules_);
    } catch (const DialogueError& error) {
      return add(trap_of(error.fault()), error.what());
    }
    try {
      check_placeholders(record, dialogue, /*may_have_none=*/false);
    } catch (const Error& error) {
      return add(Trap::kPlaceholders, error.what());
    }
    if (options_.maker != nullptr && has_pictures) check_sample(record, tally, add);
  }

  template <class Add>
  void check_texts(const Record& record, const Add& add) const {
    for (std::size_t i = 0; i < record.conversations.size(); ++i) {
      const Turn& turn = record.conversations[i];
      if (turn.from == "gpt" && count_words(turn.value) == 0) {
        add(Trap::kEmptyAnswer, fmt::format("{}: turn {} is empty", describe(record), i));
        break;
      }
    }
    for (const Turn& turn : record.conversations) {
      for (const std::string& token : special_tokens_) {
        if (turn.value.find(token) == std::string::npos) continue;
        return add(Trap::kSpecialToken,
                   fmt::format("{} has '{}' in its text", describe(record), token));
      }
    }
  }

  // True when every picture can be used.
  template <class Add>
  bool check_pictures(const Record& record, const Add& add) {
    for (const std::string& path : record.images) {
      const PictureState state = pictures_.look(path);
      if (!state.fault) continue;
      add(*state.fault == ErrorCode::kNotFound ? Trap::kMissingPicture : Trap::kBadPicture,
          fmt::format("{}: {}", describe(record), state.reason));
      return false;
    }
    return true;
  }

  template <class Add>
  void check_sample(const Record& record, Tally& tally, const Add& add) {
    const SampleRules& rules = options_.maker->rules();
    Sample sample;
    try {
      sample = whole_maker_->make_text(record);
    } catch (const Error& error) {
      return add(Trap::kWrongForm, error.what());
    }
    for (const std::string& path : record.images) {
      if (options_.depth == PictureDepth::kNone) break;
      PreparedPicture& picture = sample.pictures.emplace_back();
      picture.layout = image::plan_layout(pictures_.look(path).size, rules.pictures.geometry);
      if (picture.layout.num_tokens < rules.model_max_length) continue;
      return add(Trap::kLongPicture,
                 fmt::format("{}: '{}' takes {} of {} positions", describe(record), path,
                             picture.layout.num_tokens, rules.model_max_length));
    }
    const int64_t length = expanded_length(sample);
    set_length(record.index, length);
    const int64_t labels = labels_within(sample, rules.model_max_length);
    tally.report.num_labels += labels;
    if (labels == 0) {
      add(Trap::kUntrained,
          fmt::format("{}: {}", describe(record),
                      !sample.warning.empty() ? sample.warning
                                              : fmt::format("the limit of {} positions cuts every "
                                                            "answer away",
                                                            rules.model_max_length)));
    }
    if (length > rules.model_max_length) {
      add(Trap::kCut, fmt::format("{}: {} positions, of which {} are seen", describe(record),
                                  length, rules.model_max_length));
    }
  }

  void set_length(int64_t index, int64_t length) {
    total_.lengths[static_cast<std::size_t>(index)] =
        static_cast<int32_t>(std::min<int64_t>(length, INT32_MAX));
  }

  void merge(Tally& tally, int64_t num_samples) {
    const std::lock_guard lock(mutex_);
    total_.num_with_pictures += tally.report.num_with_pictures;
    total_.num_turns += tally.report.num_turns;
    total_.num_labels += tally.report.num_labels;
    for (std::size_t i = 0; i < kNumTraps; ++i) total_.counts[i] += tally.report.counts[i];
    std::move(tally.report.findings.begin(), tally.report.findings.end(),
              std::back_inserter(total_.findings));
    forget_surplus();
    num_done_ += num_samples;
    if (options_.progress) {
      options_.progress(static_cast<uint64_t>(num_done_), static_cast<uint64_t>(file_.size()));
    }
  }

  void add_to_total(Trap trap, int64_t index, std::string what) {
    ++total_.counts[static_cast<std::size_t>(trap)];
    total_.findings.push_back({trap, index, std::move(what)});
  }

  void add_duplicates() {
    for (const Duplicate& duplicate : find_duplicates(file_, hashes_)) {
      add_to_total(Trap::kDuplicate, duplicate.index,
                   fmt::format("{} is the same as {}", describe(file_.record(duplicate.index)),
                               describe(file_.record(duplicate.first))));
      forget_surplus();
    }
  }

  // What ends an answer must be one token, or the model is not taught to stop.
  void check_template() {
    if (options_.maker == nullptr) return;
    const text::ConversationTemplate& conversation = *dialogue_rules_.conversation;
    const std::string& end = conversation.sep2 ? *conversation.sep2 : conversation.sep;
    if (conversation.style == text::SeparatorStyle::kPlain ||
        conversation.style == text::SeparatorStyle::kSingle) {
      return;
    }
    const std::size_t begin = end.find_first_not_of('\n');
    const std::string token = end.substr(begin, end.find_last_not_of('\n') + 1 - begin);
    if (options_.maker->tokenizer().id_of(token)) return;
    add_to_total(Trap::kTemplate, -1,
                 fmt::format("template '{}' ends answers with '{}', which is no token of this "
                             "tokenizer",
                             conversation.name(), token));
  }

  // Findings that will not be shown need no memory.
  void forget_surplus() {
    constexpr std::size_t kMostKept = 4096;
    if (total_.findings.size() < kMostKept) return;
    if (static_cast<int64_t>(total_.findings.size() / (2 * kNumTraps)) < options_.most_findings) {
      return;
    }
    sort_findings();
  }

  void sort_findings() {
    std::vector<Finding>& all = total_.findings;
    std::sort(all.begin(), all.end(), [](const Finding& a, const Finding& b) {
      return std::pair(a.trap, a.index) < std::pair(b.trap, b.index);
    });
    std::array<int64_t, kNumTraps> kept{};
    std::erase_if(all, [&](const Finding& finding) {
      return kept[static_cast<std::size_t>(finding.trap)]++ >= options_.most_findings;
    });
  }

  const ConversationFile& file_;
  const CheckOptions& options_;
  PictureCheck pictures_;
  std::optional<SampleMaker> whole_maker_;  ///< does not cut texts, so that their length is seen
  DialogueRules dialogue_rules_;
  std::vector<std::string> special_tokens_;
  std::vector<uint64_t> hashes_;  ///< each thread writes its own samples'; 0 for a bad record

  std::mutex mutex_;  ///< guards all but the lengths, of which each thread has its own
  DataReport total_;
  int64_t num_done_ = 0;
};

}  // namespace

DataReport check_dataset(const ConversationFile& file, const CheckOptions& options,
                         ThreadPool& pool) {
  return Checker(file, options).run(pool);
}

}  // namespace llava::data
