// SPDX-License-Identifier: Apache-2.0
#include "llava/data/sample_source.h"

#include <algorithm>
#include <utility>

#include "llava/core/log.h"

namespace llava::data {
namespace {

// Not the data's fault: no other sample would help.
bool is_of_the_machine(const Error& error) {
  return error.code() == ErrorCode::kResourceExhausted || error.code() == ErrorCode::kInternal ||
         error.code() == ErrorCode::kCancelled;
}

// Whether a record has a picture; nothing for one that is no record.
std::optional<bool> has_picture(const ConversationFile& file, int64_t index) {
  try {
    return file.record(index).has_image_key;
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

SampleSource::SampleSource(const ConversationFile& file, const SampleMaker& maker,
                           BadSamplePolicy policy)
    : file_(file), maker_(maker), policy_(policy) {}

Sample SampleSource::make(int64_t index) const {
  Sample sample = maker_.make(file_.record(index));
  cut_to_length(sample, maker_.rules().model_max_length);
  return sample;
}

void SampleSource::note(int64_t index, const Error& error) {
  const bool is_new = bad_.with([&](Known& known) {
    ++known.num_replaced;
    const auto at = std::lower_bound(known.samples.begin(), known.samples.end(), index,
                                     [](const BadSample& a, int64_t b) { return a.index < b; });
    if (at != known.samples.end() && at->index == index) return false;
    known.samples.insert(at, {index, error.what()});
    return true;
  });
  if (is_new) log_warning("bad_sample", {{"index", index}, {"reason", error.what()}});
}

std::optional<Sample> SampleSource::get(int64_t index) {
  try {
    return make(index);
  } catch (const Error& error) {
    if (policy_ == BadSamplePolicy::kFail || is_of_the_machine(error)) throw;
    note(index, error);
  }
  if (policy_ == BadSamplePolicy::kSkip) return std::nullopt;
  return substitute(index);
}

Sample SampleSource::substitute(int64_t index) {
  const std::optional<bool> wanted = has_picture(file_, index);
  std::string last_reason;
  int64_t num_bad = 0;
  for (int64_t step = 1; step < file_.size() && num_bad < kMostSubstitutes; ++step) {
    const int64_t other = (index + step) % file_.size();
    const std::optional<bool> found = has_picture(file_, other);
    if (wanted && found && *wanted != *found) continue;
    try {
      return make(other);
    } catch (const Error& error) {
      if (is_of_the_machine(error)) throw;
      last_reason = error.what();
      ++num_bad;
    }
  }
  fail(
      ErrorCode::kBadFormat,
      "nothing can stand for the bad sample {}: the {} samples tried after it are bad as well, the "
      "last because {}; run `llava data check` for all of them",
      index, num_bad, last_reason.empty() ? "there is no other of its kind" : last_reason);
}

std::vector<BadSample> SampleSource::bad_samples() const {
  return bad_.with([](const Known& known) { return known.samples; });
}

int64_t SampleSource::num_replaced() const {
  return bad_.with([](const Known& known) { return known.num_replaced; });
}

}  // namespace llava::data
