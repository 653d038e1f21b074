// SPDX-License-Identifier: Apache-2.0
//
// Loader: makes the samples of coming batches in threads of its own, so that training does not wait
// for pictures and tokenizers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "llava/data/sample.h"
#include "llava/data/sample_source.h"

namespace llava::data {

/// Sample numbers of the next batch, or nothing when the run is over. Called in order, by one
/// thread at a time.
using BatchStream = std::function<std::optional<std::vector<int64_t>>()>;

/// The given batches, one after another.
BatchStream stream_of(std::vector<std::vector<int64_t>> batches);

/// How far and how fast the loader works ahead.
struct LoaderOptions {
  int num_workers = 0;  ///< --dataloader_num_workers; 0: samples are made when they are asked for
  /// Most bytes of samples that wait. The batch that is asked for next is always made.
  std::size_t max_bytes = std::size_t{512} << 20;
};

/// What comes out does not depend on the number of workers or their speed.
///
/// Threads: `next` and the destructor on one thread; the source is used from the workers.
class Loader {
 public:
  /// Keeps a reference to `source`.
  ///
  /// Throws: Error(kInvalidArgument) for a negative number of workers.
  Loader(SampleSource& source, BatchStream batches, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The samples of the next batch; nothing when there are no more. A batch of which every sample
  /// was left out has one substitute, so that no rank has a step less.
  ///
  /// Throws: what SampleSource::get threw for the first bad sample of the batch, and what the
  /// stream threw; the loader is over then.
  std::optional<std::vector<Sample>> next();

 private:
  class Pipeline;
  std::unique_ptr<Pipeline> pipeline_;
};

}  // namespace llava::data
