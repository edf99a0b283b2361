//! The adapter between a kernel and DataFusion's `ScalarUDF`.
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, ListArray, MapArray,
        PrimitiveArray, StringArray, StructArray, new_null_array,
    },
    buffer::NullBuffer,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::{
    common::{DataFusionError, ScalarValue},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature,
        Volatility,
    },
};

use millstream_connectors::format::TimeParserPolicy;

use crate::{
    error::{QueryContext, Result, SparkError},
    types::relabel,
};

/// What a kernel may know of the session. Fixed when the plan is made, as Spark fixes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EvalContext {
    /// `spark.sql.ansi.enabled`: errors instead of NULL or wrapped values.
    pub ansi: bool,
    /// `spark.sql.session.timeZone`, as given.
    pub time_zone: String,
    /// `spark.sql.legacy.timeParserPolicy`.
    pub time_parser: TimeParserPolicy,
}

impl EvalContext {
    /// The session time zone.
    pub fn zone(&self) -> Result<millstream_connectors::datetime::Zone> {
        crate::conf::parse_time_zone(&self.time_zone)
    }
}

impl Default for EvalContext {
    fn default() -> Self {
        Self {
            ansi: true,
            time_zone: "UTC".to_string(),
            time_parser: TimeParserPolicy::Corrected,
        }
    }
}

/// The arguments of one evaluation.
#[derive(Debug)]
pub struct Batch<'a> {
    args: &'a [ColumnarValue],
    rows: usize,
    context: &'a EvalContext,
    returns: &'a FieldRef,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        args: &'a [ColumnarValue],
        rows: usize,
        context: &'a EvalContext,
        returns: &'a FieldRef,
    ) -> Self {
        Self {
            args,
            rows,
            context,
            returns,
        }
    }

    /// Number of rows to return.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Number of arguments.
    pub fn arity(&self) -> usize {
        self.args.len()
    }

    /// Session facts.
    pub fn context(&self) -> &'a EvalContext {
        self.context
    }

    /// Type to return.
    pub fn return_type(&self) -> &'a DataType {
        self.returns.data_type()
    }

    /// Argument `index` as an array of [`Batch::len`] rows.
    pub fn array(&self, index: usize) -> Result<ArrayRef> {
        let value = self.args.get(index).ok_or_else(|| no_argument(index))?;
        Ok(value.to_array(self.rows)?)
    }

    /// All arguments as arrays.
    pub fn arrays(&self) -> Result<Vec<ArrayRef>> {
        (0..self.args.len()).map(|i| self.array(i)).collect()
    }

    /// Argument `index`, if it is the same for all rows.
    pub fn constant(&self, index: usize) -> Option<&'a ScalarValue> {
        match self.args.get(index)? {
            ColumnarValue::Scalar(value) => Some(value),
            ColumnarValue::Array(_) => None,
        }
    }

    /// Argument `index`, if it is the same non-NULL text for all rows.
    pub fn constant_str(&self, index: usize) -> Option<&'a str> {
        match self.constant(index)? {
            ScalarValue::Utf8(Some(text)) => Some(text),
            _ => None,
        }
    }

    /// Argument `index` as an array of type `T`.
    pub fn typed<T: Array + Clone + 'static>(&self, index: usize) -> Result<T> {
        let array = self.array(index)?;
        array.as_any().downcast_ref::<T>().cloned().ok_or_else(|| {
            SparkError::internal(format!(
                "argument {index} is {}, not {}",
                array.data_type(),
                std::any::type_name::<T>()
            ))
        })
    }

    /// Argument `index`, a STRING.
    pub fn strings(&self, index: usize) -> Result<StringArray> {
        self.typed(index)
    }

    /// Argument `index`, a BINARY.
    pub fn binaries(&self, index: usize) -> Result<BinaryArray> {
        self.typed(index)
    }

    /// Argument `index`, a BOOLEAN.
    pub fn booleans(&self, index: usize) -> Result<BooleanArray> {
        self.typed(index)
    }

    /// Argument `index`, a number, date, timestamp, interval or decimal.
    pub fn primitive<T: ArrowPrimitiveType>(&self, index: usize) -> Result<PrimitiveArray<T>> {
        self.typed(index)
    }

    /// Argument `index`, an ARRAY.
    pub fn lists(&self, index: usize) -> Result<ListArray> {
        self.typed(index)
    }

    /// Argument `index`, a MAP.
    pub fn maps(&self, index: usize) -> Result<MapArray> {
        self.typed(index)
    }

    /// Argument `index`, a STRUCT.
    pub fn structs(&self, index: usize) -> Result<StructArray> {
        self.typed(index)
    }

    /// Rows where no argument is NULL; `None`: all of them.
    pub fn validity(&self) -> Result<Option<NullBuffer>> {
        let mut nulls: Option<NullBuffer> = None;
        for array in self.arrays()? {
            nulls = NullBuffer::union(nulls.as_ref(), array.logical_nulls().as_ref());
        }
        Ok(nulls)
    }
}

fn no_argument(index: usize) -> SparkError {
    SparkError::internal(format!(
        "a kernel asked for argument {index}, which there is not"
    ))
}

/// A kernel that was prepared from constant arguments when the plan was made.
pub trait PreparedKernel: fmt::Debug + Send + Sync {
    /// Text that is equal for kernels that compute the same.
    fn fingerprint(&self) -> String;
    /// Computes one batch.
    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef>;
}

/// What computes a scalar function.
#[derive(Clone)]
pub enum Kernel {
    /// A plain function; its name in the registry identifies it.
    Plain(fn(&Batch<'_>) -> Result<ArrayRef>),
    /// A function with prepared parts.
    Prepared(Arc<dyn PreparedKernel>),
}

impl Kernel {
    fn fingerprint(&self) -> String {
        match self {
            Self::Plain(_) => String::new(),
            Self::Prepared(kernel) => kernel.fingerprint(),
        }
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        match self {
            Self::Plain(kernel) => kernel(batch),
            Self::Prepared(kernel) => kernel.evaluate(batch),
        }
    }
}

/// One use of a kernel, with everything it depends on. Two uses are equal if they compute the same; the place in the
/// program does not count, so that `GROUP BY a + 1` finds `a + 1` in the select list.
pub(crate) struct KernelUdf {
    name: String,
    kernel: Kernel,
    returns: FieldRef,
    context: Arc<EvalContext>,
    query_context: Option<QueryContext>,
    signature: Signature,
    fingerprint: String,
    /// Types of the arguments, where they are known.
    takes: Vec<DataType>,
}

impl KernelUdf {
    pub(crate) fn new(
        name: &str,
        kernel: Kernel,
        (data_type, nullable): (DataType, bool),
        context: Arc<EvalContext>,
        query_context: Option<QueryContext>,
        volatility: Volatility,
    ) -> Self {
        Self {
            name: name.to_string(),
            fingerprint: kernel.fingerprint(),
            kernel,
            returns: Arc::new(Field::new(name, data_type, nullable)),
            context,
            query_context,
            signature: Signature::user_defined(volatility),
            takes: vec![],
        }
    }

    /// The function of arguments of these types.
    ///
    /// DataFusion's optimizer asks what a predicate becomes when its columns are NULL, and puts an untyped NULL in their place. With
    /// the types known, kernels see a NULL of the type that they were made for.
    pub(crate) fn taking(mut self, types: Vec<DataType>) -> Self {
        self.takes = types;
        self
    }

    /// Argument `index` with its type, should it be an untyped NULL.
    fn typed(
        &self,
        index: usize,
        given: ColumnarValue,
    ) -> datafusion::common::Result<ColumnarValue> {
        match self.takes.get(index) {
            Some(wanted) if given.data_type() == DataType::Null && *wanted != DataType::Null => {
                Ok(match given {
                    ColumnarValue::Array(array) => {
                        ColumnarValue::Array(new_null_array(wanted, array.len()))
                    }
                    ColumnarValue::Scalar(_) => {
                        ColumnarValue::Scalar(ScalarValue::try_from(wanted)?)
                    }
                })
            }
            _ => Ok(given),
        }
    }

    fn identity(&self) -> (&str, &str, &FieldRef, &EvalContext) {
        (&self.name, &self.fingerprint, &self.returns, &self.context)
    }
}

impl fmt::Debug for KernelUdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KernelUdf")
            .field("name", &self.name)
            .field("returns", &self.returns)
            .finish()
    }
}

impl PartialEq for KernelUdf {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for KernelUdf {}

impl Hash for KernelUdf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl ScalarUDFImpl for KernelUdf {
    fn name(&self) -> &str {
        &self.name
    }

    /// With what the kernel has built in, if anything: two windows of different lengths are two functions.
    fn schema_name(&self, args: &[Expr]) -> datafusion::common::Result<String> {
        let args: Vec<String> = args
            .iter()
            .map(|arg| arg.schema_name().to_string())
            .collect();
        let built_in = match self.fingerprint.as_str() {
            "" => String::new(),
            fingerprint => format!("[{fingerprint}]"),
        };
        Ok(format!("{}{built_in}({})", self.name, args.join(",")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> datafusion::common::Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn return_type(&self, _: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(self.returns.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> datafusion::common::Result<FieldRef> {
        Ok(Arc::clone(&self.returns))
    }

    fn invoke_with_args(
        &self,
        args: ScalarFunctionArgs,
    ) -> datafusion::common::Result<ColumnarValue> {
        let constant = self.signature.volatility == Volatility::Immutable
            && args
                .args
                .iter()
                .all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let given = args.args.into_iter().enumerate();
        let given = given
            .map(|(index, value)| self.typed(index, value))
            .collect::<datafusion::common::Result<Vec<_>>>()?;
        let batch = Batch::new(&given, rows, &self.context, &self.returns);
        let result = self
            .kernel
            .evaluate(&batch)
            .and_then(|array| relabel(&array, self.returns.data_type()))
            .map_err(|error| match &self.query_context {
                Some(place) => error.with_context(place.clone()),
                None => error,
            })?;
        if result.len() != rows {
            return Err(DataFusionError::Internal(format!(
                "{} returned {} rows of {rows}",
                self.name,
                result.len()
            )));
        }
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?));
        }
        Ok(ColumnarValue::Array(result))
    }
}
