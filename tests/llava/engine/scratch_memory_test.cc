// SPDX-License-Identifier: Apache-2.0
//
// What a step and a picture are planned to take is at least what they take, and no more than twice
// as much.
#include "llava/engine/scratch_memory.h"

#include <gtest/gtest.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <fstream>
#include <numeric>
#include <string>

#include "llava/backend/native/native_backend.h"
#include "llava/engine/generation_task.h"
#include "llava/engine/model_runner.h"
#include "support/sanitizer.h"

namespace llava::engine {
namespace {

#ifdef LLAVA_HAS_SANITIZER
constexpr bool kIsMeasurable = false;
#else
constexpr bool kIsMeasurable = true;
#endif

constexpr double kMost = 2.0;
constexpr int64_t kMiB = int64_t{1} << 20;

model::LlavaConfig test_shape() {
  model::LlavaConfig c;
  c.decoder = {.vocab_size = 8192,
               .hidden_size = 256,
               .intermediate_size = 1024,
               .num_hidden_layers = 2,
               .num_attention_heads = 8,
               .num_key_value_heads = 2,
               .head_dim = 32};
  c.vision = {.hidden_size = 256,
              .intermediate_size = 1024,
              .num_hidden_layers = 3,
              .num_attention_heads = 4,
              .image_size = 224,
              .patch_size = 14};
  c.projector.type = model::ProjectorType::kMlp;
  c.geometry.tile_size = 224;
  c.geometry.patches_per_side = 16;
  return c;
}

// The value of a line "VmRSS:   1234 kB".
int64_t status_bytes(const std::string& wanted) {
  std::ifstream file("/proc/self/status");
  std::string key, rest;
  while (file >> key) {
    int64_t kibibytes = 0;
    if (key == wanted && file >> kibibytes) return kibibytes * 1024;
    std::getline(file, rest);
  }
  return 0;
}

// Most memory that `work` takes beside what the process has now; 0 where the system does not say.
template <class Work>
int64_t peak_of(Work work) {
  if (!kIsMeasurable) return 0;
#ifdef __GLIBC__
  ::malloc_trim(0);  // what earlier tests freed would serve this one
#endif
  std::ofstream("/proc/self/clear_refs") << "5" << std::flush;
  const int64_t before = status_bytes("VmRSS:");
  if (before == 0 || status_bytes("VmHWM:") > before + kMiB) return 0;
  work();
  return status_bytes("VmHWM:") - before;
}

class ScratchMemory : public ::testing::TestWithParam<DType> {
 protected:
  ScratchMemory() {
    model::visit(model_, {.on_parameter =
                              [](const std::string&, model::Parameter& parameter) {
                                parameter.value = Tensor::zeros(parameter.shape, GetParam());
                              },
                          .on_linear = {}});
  }

  /// One sequence in all pages that wants something of its last `num_wanted` positions.
  static StepPlan plan_of(int32_t num_tokens, int32_t num_pages, int32_t num_wanted) {
    StepPlan plan;
    StepItem& item = plan.items.emplace_back();
    item.symbols.resize(static_cast<std::size_t>(num_tokens));
    item.pages.resize(static_cast<std::size_t>(num_pages));
    std::iota(item.pages.begin(), item.pages.end(), 0);
    item.first_logits = num_tokens - num_wanted;
    return plan;
  }

  ThreadPool pool_{2};
  std::unique_ptr<Backend> backend_ = native::make_native_backend(pool_);
  Context ctx_{*backend_, &pool_};
  model::LlavaModel model_{test_shape()};
};

TEST_P(ScratchMemory, OfAStepIsWhatWasPlanned) {
  constexpr int32_t kPageSize = 16;
  const StepSize step{.num_tokens = 4096, .num_logits = 256};
  const auto num_pages = static_cast<int32_t>(step.num_tokens / kPageSize);
  ModelRunner runner(ctx_, model_, GetParam(), num_pages, kPageSize);
  StepLogits logits;
  const int64_t peak = peak_of([&] {
    for (const int32_t num_tokens : {4096, 4096}) {
      runner.run(plan_of(num_tokens, num_pages, static_cast<int32_t>(step.num_logits)), logits);
    }
  });
  if (peak == 0) GTEST_SKIP() << "this system does not say how much memory was in use at most";
  const int64_t cache =
      step.num_tokens * KvPages::bytes_per_token(model_.config.decoder, GetParam());
  const int64_t planned = step_scratch_bytes(model_, step);
  EXPECT_LE(peak - cache, planned);
  EXPECT_LE(static_cast<double>(planned), kMost * static_cast<double>(peak - cache));
  EXPECT_GT(planned, 32 * kMiB) << "too little to be measured";
}

TEST_P(ScratchMemory, OfALookIsWithinWhatWasPlanned) {
  constexpr int32_t kPageSize = 16;
  const StepSize step{.num_tokens = 4096, .num_logits = 0};
  const auto num_pages = static_cast<int32_t>(step.num_tokens / kPageSize);
  ModelRunner runner(ctx_, model_, GetParam(), num_pages, kPageSize);
  StepLogits logits;
  const int64_t peak = peak_of([&] {
    StepPlan plan = plan_of(static_cast<int32_t>(step.num_tokens), num_pages,
                            static_cast<int32_t>(kLookTokensPerStep));
    StepItem& item = plan.items.front();
    item.look = LookQuery{.ranges = {{.begin = 0, .end = item.first_logits}}};
    runner.run(plan, logits);
  });
  if (peak == 0) GTEST_SKIP() << "this system does not say how much memory was in use at most";
  ASSERT_FALSE(logits.maps.empty());
  const int64_t cache =
      step.num_tokens * KvPages::bytes_per_token(model_.config.decoder, GetParam());
  EXPECT_LE(peak - cache,
            step_scratch_bytes(model_, step) + look_scratch_bytes(model_, step.num_tokens));
}

TEST_P(ScratchMemory, OfAPictureIsWhatWasPlanned) {
  constexpr int64_t kTiles = 9;
  const Tensor pixels = Tensor::zeros({kTiles, 3, 224, 224}, DType::kFloat32);
  const int64_t peak = peak_of([&] { model_.encode_tiles(ctx_, pixels); });
  if (peak == 0) GTEST_SKIP() << "this system does not say how much memory was in use at most";
  const int64_t planned = encode_scratch_bytes(model_, kTiles);
  EXPECT_LE(peak, planned);
  EXPECT_LE(static_cast<double>(planned), kMost * static_cast<double>(peak));
}

INSTANTIATE_TEST_SUITE_P(DTypes, ScratchMemory,
                         ::testing::Values(DType::kFloat32, DType::kBFloat16),
                         [](const auto& tested) { return std::string(dtype_name(tested.param)); });

TEST(LargestStep, CountsAChunkAndTheNewestTokensOfAllThatFit) {
  EngineConfig config;
  config.max_draft_tokens = 3;
  config.scheduler.chunked_prefill_size = 512;
  config.scheduler.max_running_requests = 8;
  StepSize step = largest_step(config, 8192, 1);
  EXPECT_EQ(step.num_tokens, 512 + 8 * 4);
  EXPECT_EQ(step.num_logits, 8 * 4);
  step = largest_step(config, 8192, 4096);
  EXPECT_EQ(step.num_tokens, 512 + 2 * 4);
  EXPECT_EQ(step.num_logits, 2 * 4);
  step = largest_step(config, 100, 100);
  EXPECT_EQ(step.num_tokens, 100);
  EXPECT_EQ(step.num_logits, 4);
}

TEST(MostTiles, IsTheLargestCanvasAndTheWholePicture) {
  image::ImageGeometry geometry;
  EXPECT_EQ(most_tiles(geometry), 1);
  geometry.mode = image::AspectMode::kAnyres;
  geometry.pinpoints = {{336, 672}, {672, 672}, {1008, 336}};
  EXPECT_EQ(most_tiles(geometry), 1 + 4);
}

}  // namespace
}  // namespace llava::engine
