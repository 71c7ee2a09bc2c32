//! What S3 calls access control, as views: nothing is public, and the project owns what is in its
//! buckets. Who may do what stands in the policy. A client that sets what is so anyway is told that
//! it is; whatever else it sets is refused.

use s3s::dto::{
    BucketCannedACL, GetBucketAclInput, GetBucketAclOutput, GetBucketOwnershipControlsInput,
    GetBucketOwnershipControlsOutput, GetBucketPolicyInput, GetBucketPolicyOutput,
    GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput, GetObjectAclInput, GetObjectAclOutput,
    GetPublicAccessBlockInput, GetPublicAccessBlockOutput, Grant, Grantee, ObjectCannedACL,
    ObjectOwnership, Owner, OwnershipControls, OwnershipControlsRule, Permission, PolicyStatus,
    PublicAccessBlockConfiguration, PutBucketAclInput, PutBucketAclOutput,
    PutBucketOwnershipControlsInput, PutBucketOwnershipControlsOutput, PutObjectAclInput,
    PutObjectAclOutput, PutPublicAccessBlockInput, PutPublicAccessBlockOutput, Type,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::{Handlers, call_of, ok, place, verify_xml};
use crate::s3::error::not_served;
use crate::vault::{Holding, ReadAsk};

/// The one grant of an ACL: the owner's.
fn full_control(owner: &Owner) -> Vec<Grant> {
    vec![Grant {
        grantee: Some(Grantee {
            display_name: owner.display_name.clone(),
            email_address: None,
            id: owner.id.clone(),
            type_: Type::from_static(Type::CANONICAL_USER),
            uri: None,
        }),
        permission: Some(Permission::from_static(Permission::FULL_CONTROL)),
    }]
}

/// A grant in the form of S3's policies, with the actions of this policy's own words.
fn statement(held: &Holding, bucket: &str) -> serde_json::Value {
    let actions = held.actions.iter();
    let actions: Vec<String> = actions.map(|action| format!("kluis:{action}")).collect();
    let mut when = serde_json::json!({
        "DateGreaterThanEquals": { "aws:CurrentTime": held.starts.to_string() },
    });
    if let (Some(when), Some(end)) = (when.as_object_mut(), held.expires) {
        let until = serde_json::json!({ "aws:CurrentTime": end.to_string() });
        let _none: Option<serde_json::Value> = when.insert("DateLessThan".to_owned(), until);
    }
    serde_json::json!({
        "Sid": held.id.to_string(),
        "Effect": if held.denies { "Deny" } else { "Allow" },
        "Principal": { "AWS": [held.principal.as_str()] },
        "Action": actions,
        "Resource": [
            format!("arn:aws:s3:::{bucket}"),
            format!("arn:aws:s3:::{bucket}/{}*", held.prefix),
        ],
        "Condition": when,
    })
}

/// Sees that an ACL is the one that is there: the owner's, by its short name. As in a bucket of
/// Amazon's whose objects are its owner's (`BucketOwnerEnforced`), there is no other.
fn owners_own(canned: Option<&str>, body: bool) -> S3Result<()> {
    if canned == Some("bucket-owner-full-control") && !body {
        return Ok(());
    }
    Err(S3Error::with_message(
        S3ErrorCode::AccessControlListNotSupported,
        "The bucket does not allow ACLs: who may do what stands in the policy.",
    ))
}

impl Handlers {
    /// Says that a bucket is its owner's.
    pub(super) async fn put_bucket_acl(
        &self,
        request: S3Request<PutBucketAclInput>,
    ) -> S3Result<S3Response<PutBucketAclOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let canned = asked.acl.as_ref().map(BucketCannedACL::as_str);
        owners_own(canned, asked.access_control_policy.is_some())?;
        self.vault.affirm(&call, &asked.bucket, "acl").await?;
        ok(PutBucketAclOutput::default())
    }

    /// Says that an object is the bucket's owner's.
    pub(super) async fn put_object_acl(
        &self,
        request: S3Request<PutObjectAclInput>,
    ) -> S3Result<S3Response<PutObjectAclOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let canned = asked.acl.as_ref().map(ObjectCannedACL::as_str);
        owners_own(canned, asked.access_control_policy.is_some())?;
        let place = place(&asked.bucket, &asked.key, asked.version_id.as_deref())?;
        self.vault.affirm_object(&call, place, "acl").await?;
        ok(PutObjectAclOutput::default())
    }

    /// Says that what is written belongs to the bucket's owner.
    pub(super) async fn put_bucket_ownership_controls(
        &self,
        request: S3Request<PutBucketOwnershipControlsInput>,
    ) -> S3Result<S3Response<PutBucketOwnershipControlsOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let enforced = |rule: &OwnershipControlsRule| {
            rule.object_ownership.as_str() == ObjectOwnership::BUCKET_OWNER_ENFORCED
        };
        if !matches!(asked.ownership_controls.rules.as_slice(), [rule] if enforced(rule)) {
            return Err(not_served("another owner of objects than the bucket's"));
        }
        let said = "ownership=BucketOwnerEnforced";
        self.vault.affirm(&call, &asked.bucket, said).await?;
        ok(PutBucketOwnershipControlsOutput::default())
    }

    /// Says that nothing is public.
    pub(super) async fn put_public_access_block(
        &self,
        request: S3Request<PutPublicAccessBlockInput>,
    ) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
        let call = call_of(&request)?;
        verify_xml(&request)?;
        let asked = request.input;
        let block = asked.public_access_block_configuration;
        let all = [
            block.block_public_acls,
            block.block_public_policy,
            block.ignore_public_acls,
            block.restrict_public_buckets,
        ];
        if all != [Some(true); 4] {
            return Err(not_served("a bucket that may be public"));
        }
        let said = "public access blocked";
        self.vault.affirm(&call, &asked.bucket, said).await?;
        ok(PutPublicAccessBlockOutput::default())
    }

    /// A bucket's ACL.
    pub(super) async fn get_bucket_acl(
        &self,
        request: S3Request<GetBucketAclInput>,
    ) -> S3Result<S3Response<GetBucketAclOutput>> {
        let call = call_of(&request)?;
        let bucket = &request.input.bucket;
        let _row = self.vault.head_dataset(&call, bucket).await?;
        let owner = self.owner(bucket);
        ok(GetBucketAclOutput {
            grants: Some(full_control(&owner)),
            owner: Some(owner),
        })
    }

    /// An object's ACL.
    pub(super) async fn get_object_acl(
        &self,
        request: S3Request<GetObjectAclInput>,
    ) -> S3Result<S3Response<GetObjectAclOutput>> {
        let call = call_of(&request)?;
        let asked = request.input;
        let place = place(&asked.bucket, &asked.key, asked.version_id.as_deref())?;
        let ask = ReadAsk::default();
        let _seen = self.vault.head_object(&call, place, ask).await?;
        let owner = self.owner(&asked.bucket);
        ok(GetObjectAclOutput {
            grants: Some(full_control(&owner)),
            owner: Some(owner),
            ..GetObjectAclOutput::default()
        })
    }

    /// Who may do what with a bucket, as the policy has it.
    pub(super) async fn get_bucket_policy(
        &self,
        request: S3Request<GetBucketPolicyInput>,
    ) -> S3Result<S3Response<GetBucketPolicyOutput>> {
        let call = call_of(&request)?;
        let bucket = &request.input.bucket;
        let held = self.vault.holdings(&call, bucket).await?;
        let statements: Vec<serde_json::Value> =
            held.iter().map(|held| statement(held, bucket)).collect();
        let document = serde_json::json!({
            "Version": "2012-10-17",
            "Id": "kluis",
            "Statement": statements,
        });
        ok(GetBucketPolicyOutput {
            policy: Some(document.to_string()),
        })
    }

    /// Nothing is public.
    pub(super) async fn get_bucket_policy_status(
        &self,
        request: S3Request<GetBucketPolicyStatusInput>,
    ) -> S3Result<S3Response<GetBucketPolicyStatusOutput>> {
        let call = call_of(&request)?;
        let bucket = &request.input.bucket;
        let _row = self.vault.head_dataset(&call, bucket).await?;
        ok(GetBucketPolicyStatusOutput {
            policy_status: Some(PolicyStatus {
                is_public: Some(false),
            }),
        })
    }

    /// What is written belongs to the bucket's owner, whoever wrote it.
    pub(super) async fn get_bucket_ownership_controls(
        &self,
        request: S3Request<GetBucketOwnershipControlsInput>,
    ) -> S3Result<S3Response<GetBucketOwnershipControlsOutput>> {
        let call = call_of(&request)?;
        let bucket = &request.input.bucket;
        let _row = self.vault.head_dataset(&call, bucket).await?;
        let rule = OwnershipControlsRule {
            object_ownership: ObjectOwnership::from_static(ObjectOwnership::BUCKET_OWNER_ENFORCED),
        };
        ok(GetBucketOwnershipControlsOutput {
            ownership_controls: Some(OwnershipControls { rules: vec![rule] }),
        })
    }

    /// Public access is blocked in every way.
    pub(super) async fn get_public_access_block(
        &self,
        request: S3Request<GetPublicAccessBlockInput>,
    ) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
        let call = call_of(&request)?;
        let bucket = &request.input.bucket;
        let _row = self.vault.head_dataset(&call, bucket).await?;
        ok(GetPublicAccessBlockOutput {
            public_access_block_configuration: Some(PublicAccessBlockConfiguration {
                block_public_acls: Some(true),
                block_public_policy: Some(true),
                ignore_public_acls: Some(true),
                restrict_public_buckets: Some(true),
            }),
        })
    }
}
