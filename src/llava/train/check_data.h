// SPDX-License-Identifier: Apache-2.0
//
// The look through the data before a run begins.
#pragma once

#include "llava/core/thread_pool.h"
#include "llava/data/conversation_file.h"
#include "llava/data/sample_maker.h"
#include "llava/train/train_config.h"

namespace llava::train {

/// Checks every record and the headers of pictures unless --skip-data-check; writes
/// OUTPUT/data_check.json.
///
/// Throws: Error(kBadFormat) with a list, unless --on-bad-sample lives with bad samples.
void check_data(const TrainConfig& config, const data::ConversationFile& file,
                const data::SampleMaker& maker, ThreadPool& pool);

}  // namespace llava::train
