// SPDX-License-Identifier: Apache-2.0
//
// The look through the data before a run begins.
#pragma once

#include <cstdint>
#include <vector>

#include "llava/core/thread_pool.h"
#include "llava/data/conversation_file.h"
#include "llava/data/sample_maker.h"
#include "llava/train/train_config.h"

namespace llava::train {

/// Checks every record and the headers of pictures unless --skip-data-check; writes
/// OUTPUT/data_check.json. Of several ranks one `looks`.
///
/// Returns the lengths of all samples, in tokens; in words where nobody looks.
/// Throws: Error(kBadFormat) with a list, unless --on-bad-sample lives with bad samples.
std::vector<int32_t> check_data(const TrainConfig& config, const data::ConversationFile& file,
                                const data::SampleMaker& maker, ThreadPool& pool, bool looks);

}  // namespace llava::train
