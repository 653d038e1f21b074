// SPDX-License-Identifier: Apache-2.0
#include "llava/data/flat_batch.h"

#include <algorithm>

#include "llava/core/check.h"
#include "llava/text/supervision.h"

namespace llava::data {
namespace {

// One sample's share, appended to `batch`.
class SequenceWriter {
 public:
  SequenceWriter(FlatBatch& batch, int32_t max_length, int32_t& num_feature_rows)
      : batch_(batch),
        max_length_(max_length),
        num_feature_rows_(num_feature_rows),
        first_(static_cast<int32_t>(batch.ids.size())) {}

  void add_token(int32_t id, int32_t label) {
    if (length() == max_length_) return;
    // The first token of a sequence has nothing before it that could predict it.
    if (label != text::kIgnoreLabel && length() > 0) {
      batch_.predicting_rows.push_back(static_cast<int32_t>(batch_.ids.size()) - 1);
      batch_.targets.push_back(label);
    }
    add_row(id);
  }

  void add_picture(const PreparedPicture& picture) {
    const int32_t rows = picture.layout.num_tokens;
    const int32_t kept = std::min(rows, max_length_ - length());
    if (kept < rows) batch_.uses_all_feature_rows = false;
    if (kept == 0) return;
    batch_.pictures.push_back(&picture);
    batch_.runs.push_back({.offset = static_cast<int32_t>(batch_.ids.size()),
                           .num_tokens = kept,
                           .image = static_cast<int32_t>(batch_.pictures.size()) - 1});
    for (int32_t row = 0; row < kept; ++row) {
      batch_.feature_rows.push_back(num_feature_rows_ + row);
      add_row(text::kPlaceholderId);
    }
    num_feature_rows_ += rows;
  }

  void finish() { batch_.lengths.push_back(length()); }

 private:
  int32_t length() const { return static_cast<int32_t>(batch_.ids.size()) - first_; }
  void add_row(int32_t id) {
    batch_.positions.push_back(length());
    batch_.ids.push_back(id);
  }

  FlatBatch& batch_;
  int32_t max_length_;
  int32_t& num_feature_rows_;
  int32_t first_;
};

}  // namespace

FlatBatch make_flat_batch(std::span<const Sample* const> samples, int32_t max_length) {
  FlatBatch batch;
  int32_t num_feature_rows = 0;
  for (const Sample* sample : samples) {
    LLAVA_CHECK(sample->ids.size() == sample->labels.size());
    SequenceWriter writer(batch, max_length, num_feature_rows);
    std::size_t next_picture = 0;
    for (std::size_t i = 0; i < sample->ids.size(); ++i) {
      if (sample->ids[i] != text::kImageSentinel) {
        writer.add_token(sample->ids[i], sample->labels[i]);
        continue;
      }
      LLAVA_CHECK(next_picture < sample->pictures.size(), "sample {} has {} pictures",
                  sample->index, sample->pictures.size());
      writer.add_picture(sample->pictures[next_picture++]);
    }
    writer.finish();
  }
  return batch;
}

}  // namespace llava::data
