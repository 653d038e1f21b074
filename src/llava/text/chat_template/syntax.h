// SPDX-License-Identifier: Apache-2.0
//
// The syntax tree of a chat template. One struct for all expressions and one for all statements:
// the kinds are few, and the interpreter switches over them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "llava/text/chat_template/value.h"

namespace llava::text::jinja {

enum class ExprKind : uint8_t {
  kConstant,   ///< constant
  kName,       ///< name
  kTuple,      ///< children
  kList,       ///< children
  kDict,       ///< children: key, value, key, value, ...
  kAttribute,  ///< children[0] . name
  kItem,       ///< children[0] [ children[1] ]
  kSlice,      ///< inside kItem only; children: start, stop, step, each may be null
  kCall,       ///< children[0] is called with arguments
  kFilter,     ///< children[0] | name(arguments); children[0] null in filter blocks
  kTest,       ///< children[0] is name(arguments)
  kNot,
  kNegative,
  kPositive,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kConcat,   ///< children, joined as text
  kCompare,  ///< children[0] ops[0] children[1] ops[1] ...
  kAnd,
  kOr,
  kConditional,  ///< children: value, condition, else value (null: undefined)
};

enum class CompareOp : uint8_t {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  ExprKind kind = ExprKind::kConstant;
  int line = 0;
  int depth = 1;  ///< of the tree below
  std::string name;
  Value constant;
  std::vector<ExprPtr> children;
  /// Of calls, filters and tests.
  std::vector<ExprPtr> arguments;
  std::vector<std::pair<std::string, ExprPtr>> keywords;
  std::vector<CompareOp> ops;
};

enum class StatementKind : uint8_t {
  kText,        ///< text
  kOutput,      ///< value
  kIf,          ///< branches
  kFor,         ///< targets in value, if condition; body; otherwise
  kSet,         ///< targets = value
  kSetBlock,    ///< targets[0] = body, through filter `value` if not null
  kMacro,       ///< name(targets, defaults of the last ones); body
  kFilter,      ///< body through filter `value`
  kWith,        ///< assignments; body
  kGeneration,  ///< body
  kBreak,
  kContinue,
};

struct Statement;
using Block = std::vector<Statement>;

/// What an assignment writes to.
struct Target {
  std::string name;
  std::string attribute;  ///< of a namespace; empty for a variable
};

struct Branch {
  ExprPtr condition;  ///< null: else
  Block body;
};

struct Statement {
  StatementKind kind = StatementKind::kText;
  int line = 0;
  std::string name;
  std::string text;
  ExprPtr value;
  ExprPtr condition;
  std::vector<Target> targets;
  /// The targets are written as a tuple: the value is unpacked.
  bool is_unpacking = false;
  std::vector<ExprPtr> defaults;
  std::vector<std::pair<Target, ExprPtr>> assignments;
  std::vector<Branch> branches;
  Block body;
  Block otherwise;
  /// Names that the body, or the else part, begins by making undefined (scopes.h).
  std::vector<std::string> hidden;
  std::vector<std::string> otherwise_hidden;
};

/// A parsed template.
struct Program {
  std::string label;
  std::string source;
  Block body;
  std::vector<std::string> hidden;
  bool iterates_content = false;
};

}  // namespace llava::text::jinja
