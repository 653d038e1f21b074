// SPDX-License-Identifier: Apache-2.0
#include "llava/data/flat_batch.h"

#include <algorithm>

#include "llava/core/check.h"
#include "llava/text/supervision.h"

namespace llava::data {
namespace {

// Samples of a batch with the same beginning.
struct PrefixGroup {
  std::vector<const Sample*> samples;
  std::size_t num_shared = 0;  ///< ids, a picture being one; 0 when it is one sample's
};

// Ids before the first trained one and the last one: what others may share of the sample.
std::size_t shareable_ids(const Sample& sample) {
  const auto first_trained = std::ranges::find_if(
      sample.labels, [](int32_t label) { return label != text::kIgnoreLabel; });
  const auto before = static_cast<std::size_t>(first_trained - sample.labels.begin());
  return std::min(before, sample.ids.size() - 1);
}

// Ids that both samples begin with, pictures being those of the same bytes.
std::size_t common_ids(const Sample& a, const Sample& b, std::size_t most) {
  std::size_t count = 0;
  for (std::size_t picture = 0; count < most && a.ids[count] == b.ids[count]; ++count) {
    if (a.ids[count] != text::kImageSentinel) continue;
    if (a.pictures[picture].content != b.pictures[picture].content) break;
    ++picture;
  }
  return count;
}

// Rows that the first `num_ids` ids of a sample take.
int64_t rows_of(const Sample& sample, std::size_t num_ids) {
  int64_t rows = 0;
  std::size_t picture = 0;
  for (std::size_t i = 0; i < num_ids; ++i) {
    rows +=
        sample.ids[i] == text::kImageSentinel ? sample.pictures[picture++].layout.num_tokens : 1;
  }
  return rows;
}

bool has_picture(const Sample& sample, std::size_t num_ids) {
  return std::find(sample.ids.begin(), sample.ids.begin() + static_cast<std::ptrdiff_t>(num_ids),
                   text::kImageSentinel) !=
         sample.ids.begin() + static_cast<std::ptrdiff_t>(num_ids);
}

// Neighbours whose common beginning has a picture: a few words alone are not worth a part.
std::vector<PrefixGroup> group_by_prefix(std::span<const Sample* const> samples, int32_t max_length,
                                         bool shares_prefixes) {
  std::vector<PrefixGroup> groups;
  for (const Sample* sample : samples) {
    if (shares_prefixes && !groups.empty() && !sample->ids.empty()) {
      PrefixGroup& group = groups.back();
      const Sample& first = *group.samples.front();
      const std::size_t own = first.ids.empty() ? 0 : shareable_ids(first);
      std::size_t most = std::min(own, shareable_ids(*sample));
      if (group.num_shared > 0) most = std::min(most, group.num_shared);
      const std::size_t shared = common_ids(first, *sample, most);
      // A sample that the limit cuts within the beginning is none of the group's.
      if (has_picture(first, shared) && rows_of(first, shared) < max_length) {
        group.samples.push_back(sample);
        group.num_shared = shared;
        continue;
      }
    }
    groups.push_back({.samples = {sample}});
  }
  return groups;
}

class BatchWriter {
 public:
  BatchWriter(FlatBatch& batch, int32_t max_length) : batch_(batch), max_length_(max_length) {}

  void write(const PrefixGroup& group) {
    const Sample& first = *group.samples.front();
    begin_part(0, 0);
    std::size_t picture = 0;
    write_ids(first, 0, group.num_shared, picture);
    const int32_t past_row = first_row_;
    const int32_t num_past = length();
    if (group.num_shared > 0) end_part();
    for (const Sample* sample : group.samples) {
      if (group.num_shared > 0) begin_part(past_row, num_past);
      std::size_t next_picture = picture;
      write_ids(*sample, group.num_shared, sample->ids.size(), next_picture);
      end_part();
    }
  }

 private:
  void begin_part(int32_t past_row, int32_t num_past) {
    part_ = {.past_row = past_row, .num_past = num_past};
    first_row_ = static_cast<int32_t>(batch_.ids.size());
  }
  void end_part() {
    part_.num_rows = static_cast<int32_t>(batch_.ids.size()) - first_row_;
    batch_.parts.push_back(part_);
  }
  // Rows of the sequence so far, shared ones included.
  int32_t length() const {
    return part_.num_past + static_cast<int32_t>(batch_.ids.size()) - first_row_;
  }
  // The row before the next one in its sequence, which has one.
  int32_t row_before() const {
    const auto next = static_cast<int32_t>(batch_.ids.size());
    return next > first_row_ ? next - 1 : part_.past_row + part_.num_past - 1;
  }

  void write_ids(const Sample& sample, std::size_t begin, std::size_t end, std::size_t& picture) {
    for (std::size_t i = begin; i < end; ++i) {
      if (sample.ids[i] != text::kImageSentinel) {
        add_token(sample.ids[i], sample.labels[i]);
        continue;
      }
      LLAVA_CHECK(picture < sample.pictures.size(), "sample {} has {} pictures", sample.index,
                  sample.pictures.size());
      add_picture(sample.pictures[picture++]);
    }
  }

  void add_token(int32_t id, int32_t label) {
    if (length() == max_length_) return;
    // The first token of a sequence has nothing before it that could predict it.
    if (label != text::kIgnoreLabel && length() > 0) {
      batch_.predicting_rows.push_back(row_before());
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

  void add_row(int32_t id) {
    batch_.positions.push_back(length());
    batch_.ids.push_back(id);
  }

  FlatBatch& batch_;
  int32_t max_length_;
  int32_t num_feature_rows_ = 0;
  BatchPart part_;
  int32_t first_row_ = 0;
};

}  // namespace

FlatBatch make_flat_batch(std::span<const Sample* const> samples, int32_t max_length,
                          bool shares_prefixes) {
  FlatBatch batch;
  BatchWriter writer(batch, max_length);
  for (const Sample* sample : samples) LLAVA_CHECK(sample->ids.size() == sample->labels.size());
  for (const PrefixGroup& group : group_by_prefix(samples, max_length, shares_prefixes)) {
    writer.write(group);
  }
  return batch;
}

}  // namespace llava::data
