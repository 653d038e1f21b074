// SPDX-License-Identifier: Apache-2.0
//
// SampleMaker: from a record to what a batch is made of, by the rules of a training run.
#pragma once

#include <cstdint>
#include <optional>

#include "llava/data/compat.h"
#include "llava/data/dialogue.h"
#include "llava/data/picture_reader.h"
#include "llava/data/record.h"
#include "llava/data/sample.h"
#include "llava/text/supervision.h"
#include "llava/text/tokenizer.h"

namespace llava::data {

/// What a run's samples depend on besides the records.
struct SampleRules {
  DialogueRules dialogue;
  PictureRules pictures;
  Compat compat = Compat::kIntended;
  int64_t model_max_length = 512;  ///< --model_max_length
  int32_t pad_id = 0;              ///< training_pad_id
};

/// Threads: const, safe to share. Keeps references to neither records nor files.
class SampleMaker {
 public:
  /// Keeps a reference to `tokenizer`, which must already have the tokens of
  /// --mm_use_im_start_end.
  SampleMaker(const text::Tokenizer& tokenizer, SampleRules rules);

  /// A whole sample. A text-only one is cut at model_max_length already; others are cut by the
  /// collator (cut_to_length).
  ///
  /// Shapes: as Sample.   Throws: Error of the cause's code, naming the record and, for pictures,
  /// the path, for all that make_text and read_picture refuse and for another number of
  /// placeholders than pictures.
  Sample make(const Record& record) const;

  /// The sample without its pictures, whose number is not checked either. With
  /// Compat::kIntended labels are where the answers are (text::supervise_spans); with kReference as
  /// text::supervise has them.
  Sample make_text(const Record& record) const;

  const SampleRules& rules() const noexcept { return rules_; }
  const text::Tokenizer& tokenizer() const noexcept { return tokenizer_; }

 private:
  Sample text_of(const Record& record, const Dialogue& dialogue) const;

  const text::Tokenizer& tokenizer_;
  SampleRules rules_;
};

}  // namespace llava::data
