// SPDX-License-Identifier: Apache-2.0
//
// Names and advice of the traps; what counts as an error.
#include <algorithm>

#include "llava/data/dataset_check.h"

namespace llava::data {
namespace {

struct TrapText {
  std::string_view name;
  std::string_view advice;
};

constexpr std::array<TrapText, kNumTraps> kTexts = {{
    {"bad_record", "not of the published form: correct the file"},
    {"unknown_speaker", "turns must be from 'human' or 'gpt'"},
    {"no_alternation", "human and gpt must take turns, human first"},
    {"wrong_form", "cannot be used with this --version: leave the sample out or choose another"},
    {"placeholders", "each picture needs exactly one <image> in the text"},
    {"missing_picture", "the file is not there: check --image_folder, or get the pictures again"},
    {"bad_picture", "cannot be decoded: get the file again or leave the sample out"},
    {"long_picture", "a picture alone fills --model_max_length: raise it"},
    {"untrained", "no label is left: an open question, or the limit cuts the answers away"},
    {"cut", "longer than --model_max_length: what is beyond is not seen"},
    {"empty_answer", "an answer without a word teaches nothing"},
    {"special_token", "text like a special token acts as one: remove it from the data"},
    {"duplicate", "the same as an earlier sample"},
    {"template", "the tokenizer does not know what ends an answer: choose another --version"},
}};

constexpr std::array kErrors = {Trap::kBadRecord,  Trap::kUnknownSpeaker, Trap::kNoAlternation,
                                Trap::kWrongForm,  Trap::kPlaceholders,   Trap::kMissingPicture,
                                Trap::kBadPicture, Trap::kLongPicture};

}  // namespace

std::string_view trap_name(Trap trap) { return kTexts[static_cast<std::size_t>(trap)].name; }
std::string_view trap_advice(Trap trap) { return kTexts[static_cast<std::size_t>(trap)].advice; }

bool DataReport::is_error(Trap trap) const {
  if (count(trap) == 0) return false;
  if (trap == Trap::kUntrained) {
    return static_cast<double>(count(trap)) > kMostUntrained * static_cast<double>(num_samples);
  }
  return std::find(kErrors.begin(), kErrors.end(), trap) != kErrors.end();
}

bool DataReport::passes() const {
  for (std::size_t i = 0; i < kNumTraps; ++i) {
    if (is_error(static_cast<Trap>(i))) return false;
  }
  return true;
}

}  // namespace llava::data
