//! The JSON documents of an exported program, as far as they are read: `torch/_export/serde/schema.py`, version 8.
//!
//! Fields that are not named here stay in the file as they are.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::program::dtype::Dtype;

/// `models/model.json`
#[derive(Debug, Deserialize)]
pub struct Document {
    pub graph_module: GraphModule,
    pub opset_version: BTreeMap<String, u64>,
    pub schema_version: SchemaVersion,
}

#[derive(Debug, Deserialize)]
pub struct SchemaVersion {
    pub major: u64,
}

#[derive(Debug, Deserialize)]
pub struct GraphModule {
    pub graph: Graph,
    pub signature: Signature,
    pub module_call_graph: Vec<ModuleCall>,
}

/// One entry for each call of a module.
#[derive(Debug, Deserialize)]
pub struct ModuleCall {
    /// Path of the module; that of the root is empty.
    pub fqn: String,
}

#[derive(Debug, Deserialize)]
pub struct Graph {
    pub inputs: Vec<Argument>,
    pub outputs: Vec<Argument>,
    pub nodes: Vec<Node>,
    pub tensor_values: IndexMap<String, IgnoredAny>,
    #[serde(default)]
    pub sym_int_values: IndexMap<String, IgnoredAny>,
    #[serde(default)]
    pub sym_bool_values: IndexMap<String, IgnoredAny>,
    #[serde(default)]
    pub sym_float_values: IndexMap<String, IgnoredAny>,
}

/// A call of an operator.
#[derive(Debug, Deserialize)]
pub struct Node {
    /// `torch.ops.aten.conv2d.default`
    pub target: String,
    pub inputs: Vec<NamedArgument>,
    pub outputs: Vec<Argument>,
    #[serde(default)]
    pub metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
pub struct Metadata {
    /// `key,path,class;…` from the root to the module whose code it is.
    #[serde(default)]
    pub nn_module_stack: String,
}

#[derive(Debug, Deserialize)]
pub struct NamedArgument {
    pub name: String,
    pub arg: Argument,
    /// 1: positional, 2: by name.
    #[serde(default)]
    pub kind: Option<u64>,
}

/// A union: an object of one key.
#[derive(Debug, Deserialize)]
pub enum Argument {
    #[serde(rename = "as_none")]
    None(IgnoredAny),
    #[serde(rename = "as_tensor")]
    Tensor(Name),
    #[serde(rename = "as_tensors")]
    Tensors(Vec<Name>),
    #[serde(rename = "as_optional_tensor")]
    OptionalTensor(OptionalTensor),
    #[serde(rename = "as_optional_tensors")]
    OptionalTensors(Vec<OptionalTensor>),
    #[serde(rename = "as_nested_tensors")]
    NestedTensors(Vec<Vec<Name>>),
    #[serde(rename = "as_int")]
    Int(i64),
    #[serde(rename = "as_ints")]
    Ints(Vec<i64>),
    #[serde(rename = "as_int_lists")]
    IntLists(IgnoredAny),
    #[serde(rename = "as_float")]
    Float(Float),
    #[serde(rename = "as_floats")]
    Floats(Vec<Float>),
    #[serde(rename = "as_complex")]
    Complex(IgnoredAny),
    #[serde(rename = "as_bool")]
    Bool(bool),
    #[serde(rename = "as_bools")]
    Bools(Vec<bool>),
    #[serde(rename = "as_string")]
    String(String),
    #[serde(rename = "as_strings")]
    Strings(IgnoredAny),
    #[serde(rename = "as_sym_int")]
    SymInt(Symbol),
    #[serde(rename = "as_sym_ints")]
    SymInts(Vec<Symbol>),
    #[serde(rename = "as_sym_float")]
    SymFloat(Symbol),
    #[serde(rename = "as_sym_floats")]
    SymFloats(Vec<Symbol>),
    #[serde(rename = "as_sym_bool")]
    SymBool(Symbol),
    #[serde(rename = "as_sym_bools")]
    SymBools(Vec<Symbol>),
    #[serde(rename = "as_scalar_type")]
    ScalarType(u64),
    #[serde(rename = "as_memory_format")]
    MemoryFormat(u64),
    #[serde(rename = "as_layout")]
    Layout(u64),
    #[serde(rename = "as_device")]
    Device(Device),
    #[serde(rename = "as_graph")]
    Graph(IgnoredAny),
    #[serde(rename = "as_custom_obj")]
    CustomObj(IgnoredAny),
    #[serde(rename = "as_operator")]
    Operator(IgnoredAny),
    #[serde(rename = "as_string_to_argument")]
    Named(IgnoredAny),
}

#[derive(Debug, Deserialize)]
pub struct Name {
    pub name: String,
}

#[derive(Debug, Deserialize)]
pub enum OptionalTensor {
    #[serde(rename = "as_tensor")]
    Tensor(Name),
    #[serde(rename = "as_none")]
    None(IgnoredAny),
}

/// A number that is known, or the name of a value that is one.
#[derive(Debug, Deserialize)]
pub enum Symbol {
    #[serde(rename = "as_name")]
    Name(String),
    #[serde(rename = "as_int")]
    Int(i64),
    #[serde(rename = "as_float")]
    Float(Float),
    #[serde(rename = "as_bool")]
    Bool(bool),
}

/// JSON has no infinities: they are texts.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Float {
    Number(f64),
    Text(String),
}

#[derive(Debug, Deserialize)]
pub struct Device {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub index: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub struct Signature {
    pub input_specs: Vec<InputSpec>,
    pub output_specs: Vec<OutputSpec>,
}

/// What an input of the graph is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputSpec {
    UserInput {
        arg: Argument,
    },
    Parameter {
        arg: Name,
        parameter_name: String,
    },
    Buffer {
        arg: Name,
        buffer_name: String,
    },
    TensorConstant {
        arg: Name,
        tensor_constant_name: String,
    },
    ConstantInput(IgnoredAny),
    CustomObj(IgnoredAny),
    Token(IgnoredAny),
}

/// What an output of the graph is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputSpec {
    UserOutput { arg: Argument },
    BufferMutation { arg: Name, buffer_name: String },
    LossOutput(IgnoredAny),
    GradientToParameter(IgnoredAny),
    GradientToUserInput(IgnoredAny),
    UserInputMutation(IgnoredAny),
    ParameterMutation(IgnoredAny),
    Token(IgnoredAny),
}

/// `data/weights/model_weights_config.json`, and the like for constants.
#[derive(Debug, Default, Deserialize)]
pub struct Weights {
    pub config: IndexMap<String, Weight>,
}

#[derive(Debug, Deserialize)]
pub struct Weight {
    /// The entry in the same folder.
    pub path_name: String,
    #[serde(default)]
    pub is_param: bool,
    #[serde(default)]
    pub use_pickle: bool,
    pub tensor_meta: Option<TensorMeta>,
}

#[derive(Debug, Deserialize)]
pub struct TensorMeta {
    pub dtype: u64,
    pub sizes: Vec<Extent>,
    #[serde(default)]
    pub requires_grad: bool,
    pub strides: Vec<Extent>,
    pub storage_offset: Extent,
    pub layout: u64,
}

#[derive(Debug, Deserialize)]
pub enum Extent {
    #[serde(rename = "as_int")]
    Int(i64),
    #[serde(rename = "as_expr")]
    Expr(IgnoredAny),
}

impl Extent {
    pub fn known(&self) -> Option<i64> {
        match self {
            Extent::Int(n) => Some(*n),
            Extent::Expr(_) => None,
        }
    }
}

impl Argument {
    /// The values that it names, in their order.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Argument::Tensor(name) => vec![&name.name],
            Argument::Tensors(names) => names.iter().map(Name::as_str).collect(),
            Argument::NestedTensors(lists) => lists.iter().flatten().map(Name::as_str).collect(),
            Argument::OptionalTensor(tensor) => tensor.name().into_iter().collect(),
            Argument::OptionalTensors(tensors) => {
                tensors.iter().filter_map(OptionalTensor::name).collect()
            }
            Argument::SymInt(one) | Argument::SymFloat(one) | Argument::SymBool(one) => {
                one.name().into_iter().collect()
            }
            Argument::SymInts(all) | Argument::SymFloats(all) | Argument::SymBools(all) => {
                all.iter().filter_map(Symbol::name).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl InputSpec {
    /// Name of the input and path of the tensor that it is of.
    pub fn tensor(&self) -> Option<(&str, &str)> {
        let (arg, path) = match self {
            InputSpec::Parameter {
                arg,
                parameter_name,
            } => (arg, parameter_name),
            InputSpec::Buffer { arg, buffer_name } => (arg, buffer_name),
            InputSpec::TensorConstant {
                arg,
                tensor_constant_name,
            } => (arg, tensor_constant_name),
            _ => return None,
        };
        Some((&arg.name, path))
    }
}

impl Name {
    fn as_str(&self) -> &str {
        &self.name
    }
}

impl Symbol {
    pub fn name(&self) -> Option<&str> {
        match self {
            Symbol::Name(name) => Some(name),
            _ => None,
        }
    }
}

impl OptionalTensor {
    pub fn name(&self) -> Option<&str> {
        match self {
            OptionalTensor::Tensor(name) => Some(&name.name),
            OptionalTensor::None(_) => None,
        }
    }
}

impl Node {
    /// The values that it reads.
    pub fn reads(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().flat_map(|input| input.arg.names())
    }

    /// The values that it gives.
    pub fn gives(&self) -> impl Iterator<Item = &str> {
        self.outputs.iter().flat_map(Argument::names)
    }
}

/// The schema numbers element types in its own way.
pub fn dtype(number: u64) -> Option<Dtype> {
    Some(match number {
        1 => Dtype::UInt8,
        2 => Dtype::Int8,
        3 => Dtype::Int16,
        4 => Dtype::Int32,
        5 => Dtype::Int64,
        6 => Dtype::Float16,
        7 => Dtype::Float32,
        8 => Dtype::Float64,
        9 => Dtype::ComplexFloat16,
        10 => Dtype::ComplexFloat32,
        11 => Dtype::ComplexFloat64,
        12 => Dtype::Bool,
        13 => Dtype::BFloat16,
        28 => Dtype::UInt16,
        29 => Dtype::Float8E4M3Fn,
        30 => Dtype::Float8E5M2,
        31 => Dtype::Float8E4M3Fnuz,
        32 => Dtype::Float8E5M2Fnuz,
        _ => return None,
    })
}
