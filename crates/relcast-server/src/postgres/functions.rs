//! Functions of Postgres' catalog that `datafusion-pg-catalog` has not.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use datafusion::prelude::SessionContext;

use super::keys::{Keys, Texts};

/// Nothing is hidden by a search path.
const TRUE: [&str; 11] = [
    "pg_collation_is_visible",
    "pg_conversion_is_visible",
    "pg_function_is_visible",
    "pg_opclass_is_visible",
    "pg_operator_is_visible",
    "pg_opfamily_is_visible",
    "pg_statistics_obj_is_visible",
    "pg_ts_config_is_visible",
    "pg_ts_dict_is_visible",
    "pg_ts_parser_is_visible",
    "pg_type_is_visible",
];
/// What there is none of, and what is not known.
const NO_TEXT: [&str; 12] = [
    "col_description",
    "obj_description",
    "pg_get_expr",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_result",
    "pg_get_functiondef",
    "pg_get_ruledef",
    "pg_get_serial_sequence",
    "pg_get_triggerdef",
    "pg_tablespace_location",
    "shobj_description",
];
const NO_NUMBER: [&str; 4] =
    ["pg_database_size", "pg_indexes_size", "pg_table_size", "pg_tablespace_size"];

/// Makes them known.
pub(super) fn register(context: &SessionContext, keys: &Keys<'_>) {
    // Clients read the version of Postgres from it, to know what they may ask.
    let version = format!("PostgreSQL 16.6 (relcast {})", env!("CARGO_PKG_VERSION"));
    let texts = NO_TEXT.map(|name| (name, ScalarValue::Utf8(None)));
    let numbers = NO_NUMBER.map(|name| (name, ScalarValue::Int64(None)));
    let truths = TRUE.map(|name| (name, ScalarValue::Boolean(Some(true))));
    let others = [
        ("version", ScalarValue::Utf8(Some(version))),
        ("pg_get_viewdef", ScalarValue::Utf8(Some(String::new()))),
        ("pg_is_in_recovery", ScalarValue::Boolean(Some(false))),
        ("pg_my_temp_schema", ScalarValue::Int32(Some(0))),
        // There are no types beside Postgres' own, and clients ask for others alone.
        ("to_regtype", ScalarValue::Int32(None)),
    ];
    for (name, value) in texts.into_iter().chain(numbers).chain(truths).chain(others) {
        context.register_udf(Constant::function(name, value));
    }
    context.register_udf(Definitions::function("pg_get_constraintdef", keys.constraints()));
    context.register_udf(Definitions::function("pg_get_indexdef", keys.indexes()));
}

/// Gives the same whatever it is given.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Constant {
    name: &'static str,
    signature: Signature,
    value: ScalarValue,
}

impl Constant {
    fn function(name: &'static str, value: ScalarValue) -> ScalarUDF {
        let signatures = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
        let signature = Signature::one_of(signatures, Volatility::Stable);
        ScalarUDF::new_from_impl(Self { name, signature, value })
    }
}

impl ScalarUDFImpl for Constant {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.value.data_type())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.value.clone()))
    }
}

/// Gives the definition of what has an oid, or of the column of it that has a number.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Definitions {
    name: &'static str,
    signature: Signature,
    texts: Texts,
}

impl Definitions {
    fn function(name: &'static str, texts: Texts) -> ScalarUDF {
        let signatures = (1..=3).map(TypeSignature::Any).collect();
        let signature = Signature::one_of(signatures, Volatility::Stable);
        ScalarUDF::new_from_impl(Self { name, signature, texts })
    }
}

impl ScalarUDFImpl for Definitions {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let numbers = |value: &ColumnarValue| -> Result<ArrayRef> {
            Ok(cast(&value.to_array(rows)?, &DataType::Int64)?)
        };
        let oids = args.args.first().map(numbers).transpose()?;
        // The second argument is a number for a column, or says that the text should be pretty.
        let columns = args.args.get(1).filter(|value| value.data_type().is_integer());
        let columns = columns.map(numbers).transpose()?;
        let text = |row: usize| {
            let column = at(columns.as_ref(), row).unwrap_or(0);
            self.texts.get(&(at(oids.as_ref(), row)?, column))
        };
        Ok(ColumnarValue::Array(Arc::new((0..rows).map(text).collect::<StringArray>())))
    }
}

fn at(numbers: Option<&ArrayRef>, row: usize) -> Option<i64> {
    let numbers = numbers.filter(|numbers| numbers.is_valid(row))?;
    Some(numbers.as_primitive::<Int64Type>().value(row))
}
