//! The JSON Schema of the config file, made from the same declarations that read it.

use schemars::generate::SchemaSettings;

use super::file::File;

/// The schema, in draft 07: the newest that the common editors know in full.
pub fn schema() -> serde_json::Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<File>();
    // Descriptions come from doc comments, whose line ends mean nothing.
    let join = |schema: &mut schemars::Schema| {
        if let Some(serde_json::Value::String(text)) = schema.get_mut("description") {
            *text = text.replace('\n', " ");
        }
    };
    join(&mut schema);
    schemars::transform::transform_subschemas(
        &mut schemars::transform::RecursiveTransform(join),
        &mut schema,
    );
    schema.into()
}
