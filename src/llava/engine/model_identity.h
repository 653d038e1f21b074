// SPDX-License-Identifier: Apache-2.0
//
// ModelIdentity: whose results these are, for keys that outlive the process.
#pragma once

#include <string>

#include "llava/model/llava_model.h"

namespace llava::engine {

/// Two texts, each naming all that one kind of result depends on besides the input. They change
/// with
///   - every bit of the weights that take part, adapters included, in the form they are held in
///     (type, packing), hashed as they are in memory;
///   - every number of the configuration that the computation reads;
///   - the backend and its kind of device;
///   - the program's version and revision (that which was checked out when the build was
///   configured),
///     because another may compute in another order.
/// They do not change with the instruction set, the number of threads or what else is in a batch:
/// on the native backend results are the same bits whatever these are.
struct ModelIdentity {
  /// Of a picture's features: vision tower and projector.
  std::string features;
  /// Of keys and values: the decoder, and whatever the pictures' features depend on.
  std::string prefixes;
};

/// Reads every weight once, with all threads of the pool: half a second for a gigabyte.
///
/// Throws: Error(kResourceExhausted) when a device's tensors cannot be copied to be read.
ModelIdentity identify_model(Context& ctx, model::LlavaModel& model);

}  // namespace llava::engine
